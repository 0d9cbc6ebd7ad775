"""The process gateway with real processes: streams, ends, and what it says of failures."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from cn_ops import masking, process
from cn_ops.errors import MissingError, OperationFailed, TimedOut
from cn_ops.postgres.locks import TablesInUse, dumping
from cn_ops.process import ProcessFailed
from tests.support.processes import lives, wait_until

EVERY_BYTE = bytes(range(256)) * 16_384  # 4 MB

# A child and a grandchild that hear no polite word, both in one group; their numbers go to a file.
STUBBORN = "trap '' INT TERM; sleep 300 & echo $! $$ > \"$1\"; wait; sleep 300"
PARENT = """
import sys, time
from pathlib import Path
from cn_ops import process
argv, pid_file, user = sys.argv[3:], Path(sys.argv[1]), sys.argv[2] or None
with process.started(argv, user=user) as running:
    pid_file.write_text(str(running.pid))
    time.sleep(60)
"""
SPAWNER = """
import os, sys
from pathlib import Path
from cn_ops import process
pid = process.spawn(["sh", "-c", "echo started; exec sleep 300"], log=Path(sys.argv[1]), env=dict(os.environ))
Path(sys.argv[2]).write_text(str(pid))
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def quick_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "INTERRUPT_GRACE", 0.2)
    monkeypatch.setattr(process, "TERMINATE_GRACE", 0.2)


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(masking, "_known", set())
    masking.remember("correct horse battery")
    return "correct horse battery"


def numbers(path: Path) -> list[int]:
    wait_until(lambda: path.exists() and path.read_text().endswith("\n"))
    return [int(number) for number in path.read_text().split()]


def test_output_and_exit_code_come_back() -> None:
    done = process.run(["sh", "-c", "echo out; echo err >&2; exit 3"], check=False)
    assert (done.exit_code, done.stdout, done.stderr) == (3, "out\n", "err\n")
    assert done.seconds > 0


def test_arguments_arrive_as_they_are() -> None:
    arguments = ["", " ", "a b", "'", '"', "$HOME", "*", "\n", "--", "あ🌸", "`id`", "\\"]
    done = process.run([sys.executable, "-c", "import sys; print(ascii(sys.argv[1:]))", *arguments])
    assert done.stdout.strip() == ascii(arguments)


def test_every_byte_passes_from_file_to_file(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(EVERY_BYTE)
    with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as target:
        assert process.run(["cat"], stdin=source, stdout=target).stdout == ""
    assert (tmp_path / "out").read_bytes() == EVERY_BYTE


def test_every_byte_passes_through_pipes() -> None:
    reading, writing = os.pipe()
    out_reading, out_writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb") as stream:
            stream.write(EVERY_BYTE)

    with os.fdopen(reading, "rb") as source, os.fdopen(out_writing, "wb") as target:
        running = process.started(["cat"], stdin=source, stdout=target)
        with os.fdopen(out_reading, "rb") as result, running as cat:
            source.close()
            target.close()
            feeder = threading.Thread(target=feed)
            feeder.start()
            passed = result.read()
            feeder.join()
            assert cat.wait(10).exit_code == 0
    assert hashlib.sha256(passed).digest() == hashlib.sha256(EVERY_BYTE).digest()


def test_process_without_stdin_reads_the_end_at_once() -> None:
    assert process.run(["cat"], timeout=10).stdout == ""


def test_nothing_is_a_terminal() -> None:
    script = "import os; print([os.isatty(number) for number in (0, 1, 2)])"
    assert process.run([sys.executable, "-c", script]).stdout == "[False, False, False]\n"


def test_environment_and_folder_are_the_ones_that_are_given(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    done = process.run(["sh", "-c", 'pwd; echo "$A-$HOME"'], env={"A": "1"}, cwd=folder)
    assert done.stdout == f"{folder}\n1-\n"


def test_failure_carries_the_last_lines_of_stderr() -> None:
    script = "for n in $(seq 100); do echo line $n >&2; done; exit 7"
    with pytest.raises(ProcessFailed, match="exit code 7") as failed:
        process.run(["sh", "-c", script])
    assert failed.value.evidence.splitlines() == [f"line {n}" for n in range(89, 101)]
    assert failed.value.completed.exit_code == 7


def test_failure_keeps_the_beginning_of_a_long_stderr_and_of_a_long_line() -> None:
    """So does pg_dump speak of thousands of tables that it could not lock."""
    names = (
        'echo \'ERROR:  relation x does not exist\' >&2; echo "Query was: LOCK TABLE $(seq -s " " 60000)" >&2; exit 1'
    )
    with pytest.raises(ProcessFailed) as failed:
        process.run(["sh", "-c", names])
    assert failed.value.evidence.startswith("ERROR:  relation x does not exist\nQuery was: LOCK TABLE 1 2 3")
    assert len(failed.value.evidence) < 1000
    with pytest.raises(TablesInUse), dumping():
        process.run(["sh", "-c", names])


def test_failure_of_a_silent_stderr_carries_stdout() -> None:
    with pytest.raises(ProcessFailed) as failed:
        process.run(["sh", "-c", "echo said here; exit 1"])
    assert failed.value.evidence == "said here"


def test_death_by_a_signal_is_a_failure() -> None:
    with pytest.raises(ProcessFailed, match="exit code -9"):
        process.run(["sh", "-c", "kill -9 $$"])


def test_missing_program_is_named() -> None:
    with pytest.raises(MissingError, match="no-such-program-here"):
        process.run(["no-such-program-here"])
    with pytest.raises(MissingError, match="/no/such/program"):
        process.run(["/no/such/program"])


def test_program_that_cannot_be_executed_is_a_failure(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF nonsense")
    broken.chmod(0o755)
    with pytest.raises(OperationFailed, match="could not be started"):
        process.run([str(broken)])


def test_secrets_are_in_no_error_and_no_log(secret: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    script = f"echo 'password={secret}' >&2; echo postgresql://cn:hunter22@db/cn >&2; exit 1"
    with pytest.raises(ProcessFailed) as failed:
        process.run(["sh", "-c", script, secret])
    said = f"{failed.value} {failed.value.message} {failed.value.evidence} {caplog.text}"
    assert masking.MASK in said
    assert secret not in said
    assert "hunter22" not in said


def test_timeout_ends_the_whole_group(tmp_path: Path, quick_ends: None) -> None:
    began = time.monotonic()
    with pytest.raises(TimedOut, match=r"did not end within 0\.3 s") as late:
        process.run(["sh", "-c", STUBBORN, "sh", str(tmp_path / "pids")], timeout=0.3)
    assert time.monotonic() - began < 5
    assert not [pid for pid in numbers(tmp_path / "pids") if lives(pid)]
    assert late.value.exit_code == 6


def test_timeout_keeps_what_was_said_before(quick_ends: None) -> None:
    with pytest.raises(TimedOut) as late:
        process.run(["sh", "-c", "echo waiting for a lock >&2; sleep 60"], timeout=0.3)
    assert late.value.evidence == "waiting for a lock"


def test_interrupt_of_the_waiting_parent_ends_the_whole_group(tmp_path: Path, quick_ends: None) -> None:
    both: list[int] = []

    def wait_and_be_interrupted() -> None:
        with process.started(["sh", "-c", STUBBORN, "sh", str(tmp_path / "pids")]) as running:
            both.extend(numbers(tmp_path / "pids"))
            threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
            running.wait()

    with pytest.raises(KeyboardInterrupt):
        wait_and_be_interrupted()
    assert len(both) == 2
    assert not [pid for pid in both if lives(pid)]


def test_second_interrupt_kills_at_once(tmp_path: Path) -> None:
    with process.started(["sh", "-c", STUBBORN, "sh", str(tmp_path / "pids")]) as running:
        both = numbers(tmp_path / "pids")
        threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            running.end()
        wait_until(lambda: not [pid for pid in both if lives(pid)], 3)
    assert time.monotonic() - began < process.INTERRUPT_GRACE


def test_obedient_process_may_end_in_its_own_way(tmp_path: Path) -> None:
    script = 'trap "echo tidy > $1; exit 0" INT; echo > "$1.ready"; while :; do sleep 0.05; done'
    mark = tmp_path / "mark"
    with process.started(["sh", "-c", script, "sh", str(mark)]):
        wait_until((tmp_path / "mark.ready").exists)
    assert mark.read_text() == "tidy\n"


def test_child_that_outlives_its_parent_is_ended_too(tmp_path: Path, quick_ends: None) -> None:
    process.run(["sh", "-c", 'sleep 300 >&- 2>&- & echo $! > "$1"', "sh", str(tmp_path / "pids")])
    (left,) = numbers(tmp_path / "pids")
    assert not lives(left)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
@pytest.mark.parametrize("user", ["", "nobody"])
def test_child_dies_when_its_parent_is_killed(tmp_path: Path, user: str) -> None:
    if user and os.geteuid() != 0:
        pytest.skip("only root can start a process of another account")
    pid_file = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(pid_file), user, "sleep", "300"])
    try:
        wait_until(lambda: pid_file.exists() and pid_file.read_text())
        child = int(pid_file.read_text())
        assert psutil.Process(child).uids().real == (65534 if user else os.geteuid())
        assert lives(child)
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: not lives(child), 5)


def test_spawned_process_outlives_its_parent_and_logs(tmp_path: Path) -> None:
    log, pid_file = tmp_path / "a log", tmp_path / "pid"
    assert subprocess.run([sys.executable, "-c", SPAWNER, str(log), str(pid_file)], check=False).returncode == -9
    pid = int(pid_file.read_text())
    try:
        wait_until(lambda: log.read_text() == "started\n")
        assert lives(pid)
        assert os.getsid(pid) == pid
    finally:
        os.kill(pid, 9)
