"""Run one job of a GitHub workflow for real, on this machine, with `act`.

act copies what git does not ignore into a workspace, runs the job's steps there as processes of this machine,
and leaves the working tree alone. The log and the job's artefacts are kept in tmp/logs.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import yaml

from cn_ops.stack.embedded_layout import AREAS, area_home

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = ROOT / ".github" / "workflows"
# Actions that act would have to clone from GitHub, by the name of the local one that takes their place.
STAND_INS = ROOT / ".github" / "act"
LOGS = ROOT / "tmp" / "logs"
# Both workflows have it, so a job runs as if it had been started by hand.
EVENT = "workflow_dispatch"
# A job's stack must not be the one that a developer works with.
PROJECT = "cn-ops-act"
# How long what a job left running may take to obey.
GRACE_SECONDS = 10.0


def load(workflow: Path) -> dict[str, Any]:
    """Read a workflow."""
    document = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise SystemExit(f"{workflow}: is not a workflow")
    return document


def jobs(folder: Path) -> dict[str, Path]:
    """Return the workflow that has each job."""
    return {job: file for file in sorted(folder.glob("*.yml")) for job in load(file)["jobs"]}


def actions(workflow: Path) -> list[str]:
    """Return the actions that a workflow uses, each once, as `owner/name@ref`."""
    steps = [step for job in load(workflow)["jobs"].values() for step in job.get("steps", [])]
    return sorted({step["uses"] for step in steps if "uses" in step})


def stand_ins(used: Sequence[str], folder: Path) -> list[str]:
    """Return act's options that put local actions in the place of those on GitHub."""
    local = {action: folder / action.split("@")[0].split("/")[-1] for action in used}
    return [f"--local-repository={action}={path}" for action, path in local.items() if path.is_dir()]


def command(job: str, workflow: Path, scratch: Path) -> list[str]:
    """Return act's command line for a job."""
    return [
        "act",
        EVENT,
        f"--workflows={workflow}",
        f"--job={job}",
        "--platform=ubuntu-latest=-self-hosted",  # no image: the steps are processes of this machine
        f"--action-cache-path={scratch}",
        "--no-cache-server",  # it would listen on all addresses
        "--env-file=/dev/null",  # .env is compose's; GitHub's machine has none
        "--secret-file=/dev/null",
        *stand_ins(actions(workflow), STAND_INS),
    ]


def environment(outer: Mapping[str, str], artefacts: Path) -> dict[str, str]:
    """Return the job's environment: ours, without this virtual environment, and where artefacts go."""
    own = str(Path(sys.prefix) / "bin")
    path = os.pathsep.join(part for part in outer.get("PATH", os.defpath).split(os.pathsep) if part != own)
    kept = {name: value for name, value in outer.items() if not name.startswith(("NOX_", "VIRTUAL_ENV"))}
    ours = {
        "PATH": path,
        "ACT_ARTIFACTS": str(artefacts),
        "CN_OPS_STACK__COMPOSE__PROJECT": PROJECT,
        # The log is for reading, but act runs each step on a terminal.
        "NO_COLOR": "1",
        "TERM": "dumb",
    }
    return kept | ours


def run(argv: Sequence[str], env: Mapping[str, str], log: Path) -> int:
    """Run a command, its output both here and in the log; return its exit code."""
    program = Path(sys.prefix) / "bin" / argv[0]
    with (
        log.open("wb") as kept,
        subprocess.Popen(
            [program, *argv[1:]], cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process,
    ):
        # Ctrl-C reaches act by itself; it ends the job, and its last words belong in the log
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: process.send_signal(signal.SIGINT))
        assert process.stdout is not None
        while chunk := os.read(process.stdout.fileno(), 65_536):
            kept.write(chunk)
            kept.flush()
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
    return process.returncode


def end_leftovers(artefacts: Path) -> list[str]:
    """End what the job left running, as GitHub does: a failed drill keeps its stack; return their command lines."""
    left = [process for process in psutil.process_iter(["cmdline"]) if _is_of_job(process, artefacts)]
    lines = [" ".join(process.info["cmdline"] or ["?"]) for process in left]
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in psutil.wait_procs(left, timeout=GRACE_SECONDS)[1]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return lines


def _is_of_job(process: psutil.Process, artefacts: Path) -> bool:
    with suppress(psutil.Error):
        return process.environ().get("ACT_ARTIFACTS") == str(artefacts)
    return False


def remove_stacks(workspaces: Path) -> None:
    """Remove the data of the job's stacks, which a drill keeps: the compose project, and embedded clusters."""
    if docker := shutil.which("docker"):  # without an engine there is no project, and nothing to say about it
        subprocess.run(
            [docker, "compose", "--project-name", PROJECT, "down", "--volumes", "--remove-orphans"],
            cwd=workspaces,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    for area in (found for folder in AREAS for found in folder.glob(f"cn-ops-{os.geteuid()}-*")):
        if (home := area_home(area)) and home.is_relative_to(workspaces.resolve()):
            shutil.rmtree(area)


def log_file(job: str, at: datetime) -> Path:
    """Return where a job's log is kept; its artefacts are in the folder of that name without `.log`."""
    return LOGS / f"gh-act-{job}-{at:%Y%m%d-%H%M%S}.log"


def main(arguments: Sequence[str]) -> int:
    """Run the job named first; what follows is handed to act."""
    known = jobs(WORKFLOWS)
    if not arguments or arguments[0] not in known:
        asked = f"no workflow has the job {arguments[0]!r}" if arguments else "which job?"
        print(f"act: {asked}; nothing was run. Jobs: {', '.join(sorted(known))}", file=sys.stderr)
        return 2
    job = arguments[0]
    log = log_file(job, datetime.now(UTC))
    kept = log.with_suffix("")
    LOGS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="cn-ops-act-") as scratch:
        argv = [*command(job, known[job], Path(scratch)), *arguments[1:]]
        code = run(argv, environment(os.environ, kept), log)
        for line in end_leftovers(kept):
            print(f"act: ended what the job left running: {line}", file=sys.stderr)
        remove_stacks(Path(scratch))
    artefacts = f", its artefacts are in {kept}" if kept.is_dir() else ""
    print(f"act: the job {job} {'passed' if code == 0 else 'failed'}; its log is {log}{artefacts}", file=sys.stderr)
    return code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
