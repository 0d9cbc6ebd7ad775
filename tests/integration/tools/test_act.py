"""Running a job with act: what it prints and ends with, and what it must not leave running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cn_ops.stack.embedded_layout import HOME_RECORD
from tools import act

SLEEP = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)"]


@pytest.fixture
def handlers() -> Iterator[None]:
    """Put back the signal handlers that a run sets for its process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def sleeper(artefacts: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        SLEEP, env={**os.environ, "ACT_ARTIFACTS": str(artefacts)}, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def test_what_a_job_left_running_is_ended_and_nothing_else(tmp_path: Path) -> None:
    with sleeper(tmp_path / "job 1") as left, sleeper(tmp_path / "job 2") as other:
        try:
            assert act.end_leftovers(tmp_path / "job 1") == [" ".join(SLEEP)]
            assert not psutil.pid_exists(left.pid)
            assert other.poll() is None
        finally:
            left.kill()
            other.kill()


def area_of(home: Path, areas: Path, name: str) -> Path:
    area = areas / f"cn-ops-{os.geteuid()}-{name}"
    (area / "data").mkdir(parents=True)
    (area / HOME_RECORD).write_bytes(os.fsencode(home))
    return area


def test_clusters_of_the_jobs_workspace_are_removed_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    areas, workspaces = tmp_path / "areas", tmp_path / "act"
    workspaces.mkdir()
    of_job = area_of(workspaces / "1" / "tmp" / "cn-ops", areas, "a")
    of_another = area_of(tmp_path / "act 2" / "tmp" / "cn-ops", areas, "b")
    unknown = areas / f"cn-ops-{os.geteuid()}-c"
    unknown.mkdir()
    monkeypatch.setattr(act, "AREAS", (areas,))
    monkeypatch.setenv("PATH", str(tmp_path))  # no docker: the compose project is a matter of the end-to-end run
    act.remove_stacks(workspaces)
    assert [path.exists() for path in (of_job, of_another, unknown)] == [False, True, True]


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("code", [0, 1, 3])
def test_output_goes_to_the_log_and_the_terminal_and_the_exit_code_is_the_commands(
    code: int, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    log = tmp_path / "job.log"
    script = f"import sys; print('出力', flush=True); print('error', file=sys.stderr); sys.exit({code})"
    environment = {"PYTHONUTF8": "1"}
    assert act.run([Path(sys.executable).name, "-c", script], environment, log) == code
    assert log.read_text() == "出力\nerror\n"
    assert capfdbinary.readouterr().out.decode() == "出力\nerror\n"
