"""The nox sessions: which there are, which run by default, and what they make of a run that proves nothing."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import nox
import pytest
from nox import registry
from packaging.requirements import Requirement

import noxfile

ROOT = Path(noxfile.__file__).parent


def test_default_sessions_are_the_four_that_ci_runs() -> None:
    default = [name for name, session in registry.get().items() if session.default]
    assert default == ["format-check", "native-test-linux", "community-node-tests", "recovery"]


def test_every_session_is_described_for_the_list() -> None:
    for name, session in registry.get().items():
        assert session.func.__doc__, name


def test_dependencies_are_written_in_pyproject_only() -> None:
    source = (ROOT / "noxfile.py").read_text()
    for call in re.findall(r"session\.install\(([^\n]*)\)\n", source):
        assert re.fullmatch(r'("-e\.(\[\w+\])?")?(, )?(\*group\([^)]*\))?', call), call


def test_header_and_groups_ask_for_the_same_nox() -> None:
    (header,) = map(Requirement, nox.project.load_toml(str(ROOT / "noxfile.py"))["dependencies"])
    (grouped,) = (one for one in map(Requirement, noxfile.group("test")) if one.name == "nox")
    assert header == grouped
    assert str(nox.needs_version) in str(header.specifier)


def test_every_python_of_the_metadata_is_tested() -> None:
    (session,) = (one for one in registry.get().values() if one.func.__name__ == "native_test_pythons")
    assert session.python == noxfile.PYTHONS
    assert "3.11" in noxfile.PYTHONS


def case(name: str, outcome: str = "") -> str:
    return f'<testcase classname="tests.e2e" name="{name}" time="0.1">{outcome}</testcase>'


SKIPPED = '<skipped type="pytest.skip" message="no Docker engine answers">x.py:1</skipped>'


@pytest.mark.parametrize(
    ("cases", "said"),
    [
        ([case("a", SKIPPED), case("b", SKIPPED)], "all 2 tests were skipped: no Docker engine answers"),
        ([case("a", SKIPPED), case("b")], ""),
        ([case("a"), case("b")], ""),
        ([case("a", SKIPPED), case("b", '<failure message="no">x</failure>')], ""),
        ([], ""),
    ],
)
def test_run_that_skipped_everything_is_called_skipped(cases: list[str], said: str) -> None:
    report = f'<testsuites><testsuite name="pytest">{"".join(cases)}</testsuite></testsuites>'
    assert noxfile.nothing_ran(report) == said


@pytest.mark.parametrize(
    ("required", "arguments", "stacks"),
    [
        ("", [], [None]),
        ("postgres", [], [None]),
        ("postgres,docker", [], ["embedded", "compose"]),
        ("docker", ["--events", "100"], ["embedded", "compose"]),
        ("postgres,docker", ["--stack=compose"], [None]),
        ("postgres,docker", ["--stack", "compose"], [None]),
    ],
)
def test_recovery_drills_each_stack_where_docker_is_required(
    required: str, arguments: list[str], stacks: list[str | None]
) -> None:
    assert noxfile.stacks_to_drill(required, arguments) == stacks


def test_arguments_after_the_dashes_come_last() -> None:
    for line in inspect.getsource(noxfile).splitlines():
        if "*session.posargs" in line:
            assert re.search(r"\*session\.posargs\)$", line), line


def test_results_stay_where_git_does_not_look() -> None:
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}
    for path in (noxfile.SUMMARY, Path("dist"), Path(".nox")):
        assert path.parts[0] in ignored
