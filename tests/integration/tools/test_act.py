"""Running a job with act: what it prints and ends with, and what it must not leave running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

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
            assert left.wait(timeout=5) == -signal.SIGTERM
            assert other.poll() is None
        finally:
            left.kill()
            other.kill()


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
