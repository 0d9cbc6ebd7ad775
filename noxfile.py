#!/usr/bin/env -S uv run --script
# /// script
# dependencies = ["nox>=2026.10,<2027"]
# ///
"""Everything about the code: `nox` runs what CI runs; `nox --list` shows the rest."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import nox

nox.needs_version = ">=2026.10"
nox.options.reuse_venv = "yes"

PYPROJECT = nox.project.load_toml(Path(__file__).with_name("pyproject.toml"))
PYTHONS = nox.project.python_versions(PYPROJECT)
SUMMARY = Path("test-results", "community-node-recovery", "latest-summary.json")
COMPOSE_FILE = "compose/docker-compose.test.yml"


def group(*names: str) -> tuple[str, ...]:
    """Return the requirements of dependency groups."""
    return nox.project.dependency_groups(PYPROJECT, *names)


@nox.session(name="format-check")
def format_check(session: nox.Session) -> None:
    """Check format, lint, types, YAML, Markdown and workflows; changes nothing."""
    session.install("-e.[node]", *group("lint", "test", "act"))
    session.run("ruff", "format", "--check")
    session.run("ruff", "check")
    session.run("mypy")
    session.run("yamllint", "--strict", ".")
    session.run("pymarkdown", "--strict-config", "scan", "-r", "--respect-gitignore", ".")
    for workflow in sorted(Path(".github/workflows").glob("*.yml")):
        session.run("act", "--validate", "--strict", "-W", str(workflow))


@nox.session(name="native-test-linux")
def native_test_linux(session: nox.Session) -> None:
    """Run the unit and integration tests on the embedded stack: no Docker needed."""
    session.install("-e.[demo]", *group("test"))
    run_pytest(session, "tests/unit", "tests/integration", "-n", "auto")


@nox.session(name="native-test-pythons", python=PYTHONS, default=False)
def native_test_pythons(session: nox.Session) -> None:
    """Run the same tests on each supported Python that is installed here."""
    session.install("-e.[demo]", *group("test"))
    run_pytest(session, "tests/unit", "tests/integration", "-n", "auto")


@nox.session(name="community-node-tests")
def community_node_tests(session: nox.Session) -> None:
    """Build the node's image and run the end-to-end tests on docker compose."""
    session.install("-e.[demo]", *group("test"))
    if docker_answers():
        session.run("docker", "compose", "--file", COMPOSE_FILE, "build", "--quiet", external=True)
    run_pytest(session, "tests/e2e", "-n", "2")


@nox.session
def recovery(session: nox.Session) -> None:
    """Rehearse the recovery with `inv drill`, and check its summary field by field.

    Once on the stack that is there; where CN_OPS_REQUIRE names docker, once on each stack.
    """
    session.install("-e.[demo]")
    for stack in stacks_to_drill(os.environ.get("CN_OPS_REQUIRE", ""), session.posargs):
        before = SUMMARY.stat().st_mtime_ns if SUMMARY.exists() else None
        chosen = [f"--stack={stack}"] if stack else []
        run_unhurried(session, "inv", "drill", "--prove-detection", *chosen, *session.posargs)
        if not SUMMARY.exists() or SUMMARY.stat().st_mtime_ns == before:
            session.error(f"`inv drill` ended with 0 and wrote no {SUMMARY}: nothing is proven")
        session.run("python", "-m", "cn_ops.report.summary_check", str(SUMMARY), *chosen)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure backups, restores and drills beside the old way and the bare tools: `-- --size=1400 --rounds=5`."""
    session.install("-e.[demo]", *group("test"))
    run_unhurried(session, "python", "-m", "tests.bench", *session.posargs)


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Check links and anchors of every page, and that generated pages are up to date; `-- --write` writes them."""
    session.install("-e.[node]", *group("docs"))
    session.run("python", "-m", "tools.docs", *session.posargs)


@nox.session(default=False)
def build(session: nox.Session) -> None:
    """Build sdist and wheel, and use the wheel from another project in an environment of its own."""
    session.install(*group("build"))
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", "dist", *session.posargs)
    (wheel,) = Path("dist").resolve().glob("*.whl")
    with tempfile.TemporaryDirectory(prefix="another project ") as folder:
        shutil.copy("docs/examples/tasks.py", folder)
        programs = Path(folder, ".venv", "bin")
        session.run("python", "-m", "venv", str(programs.parent))
        session.run(str(programs / "python"), "-m", "pip", "install", "--quiet", f"{wheel}[demo]", external=True)
        with session.chdir(folder):
            listed = session.run(str(programs / "inv"), "--list", external=True, silent=True)
            if " drill " not in str(listed):
                session.error(f"`inv --list` of another project does not show drill:\n{listed}")
            session.run(str(programs / "inv"), "drill", "--stack=embedded", "--dry-run", external=True)


@nox.session(default=False)
def act(session: nox.Session) -> None:
    """Run one job of a workflow for real on this machine: `nox -s act -- JOB`."""
    session.install("-e.", *group("act"))
    run_unhurried(session, "python", "-m", "tools.act", *session.posargs)


def docker_answers() -> bool:
    """Tell whether a Docker engine is there; without one the tests say what they skip, or fail, for want of it."""
    docker = shutil.which("docker")
    return docker is not None and subprocess.run([docker, "version"], capture_output=True).returncode == 0


def run_unhurried(session: nox.Session, *argv: str) -> None:
    """Run a program that, interrupted, gets the time to end what it started."""
    session.run(*argv, interrupt_timeout=60, terminate_timeout=30)


def run_pytest(session: nox.Session, *arguments: str) -> None:
    """Run pytest, and call a session that skipped everything skipped, not passed."""
    report = session.cache_dir / f"{session.name}.xml"
    report.unlink(missing_ok=True)
    run_unhurried(session, "pytest", *arguments, f"--junitxml={report}", *session.posargs)
    if report.exists() and (reason := nothing_ran(report.read_text(encoding="utf-8"))):
        session.skip(reason)


def nothing_ran(junit: str) -> str:
    """Return why a test report proves nothing, or '' when a test ran."""
    cases = ET.fromstring(junit).findall(".//testcase")
    skips = [case.find("skipped") for case in cases]
    if not cases or any(skip is None for skip in skips):
        return ""
    reasons = sorted({skip.get("message", "?") for skip in skips if skip is not None})
    return f"all {len(cases)} tests were skipped: {'; '.join(reasons)}"


def stacks_to_drill(required: str, arguments: list[str]) -> list[str | None]:
    """Return the kinds of stack to drill; None leaves the choice to `inv drill`."""
    if any(argument.startswith("--stack") for argument in arguments):
        return [None]
    # compose last: latest-summary.json then tells of the stack that is closest to production
    return ["embedded", "compose"] if "docker" in required.split(",") else [None]


if __name__ == "__main__":
    nox.main()
