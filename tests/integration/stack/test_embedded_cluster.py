"""The embedded server: what killed commands and killed servers leave, and why one does not start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from cn_ops.errors import MissingError, OperationFailed, TimedOut
from cn_ops.settings import PostgresSettings
from cn_ops.stack.embedded import EmbeddedStack
from tests.support.leftovers import RUN_VARIABLE
from tests.support.processes import lives, wait_until
from tests.support.servers import answers, postmaster
from tests.support.stacks import EVERYTHING, WRITERS, embedded_settings

START = """
import os, sys
from pathlib import Path
from tests.support.stacks import WRITERS, embedded_settings
from cn_ops.settings import EmbeddedSettings, PostgresSettings
from cn_ops.stack.embedded import EmbeddedStack
stack = EmbeddedStack(embedded_settings(Path(sys.argv[1])))
stack.start_postgres()
"""
START_ALL_AND_DIE = START + "stack.up(WRITERS)\nos.kill(os.getpid(), 9)\n"


def servers_of(stack: EmbeddedStack) -> list[int]:
    """Return the postmasters that work in the stack's data directory."""
    found = {
        one.pid: one.info["ppid"]
        for one in psutil.process_iter(["name", "ppid", "cwd"])
        if one.info["cwd"] == str(stack._layout.data) and one.info["name"] == "postgres"
    }
    return [pid for pid, parent in found.items() if parent not in found]


def running_child(script: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", script, *arguments], cwd=Path(__file__).parents[3])


def test_stack_is_found_again_through_a_link(embedded_stack: EmbeddedStack, tmp_path: Path) -> None:
    embedded_stack.start_postgres()
    (tmp_path / "link").symlink_to(tmp_path / "the state")
    same = EmbeddedStack(embedded_settings(tmp_path / "link"))
    assert postmaster(same) == postmaster(embedded_stack)


def test_server_and_services_outlive_a_killed_command_and_are_found(
    embedded_stack: EmbeddedStack, tmp_path: Path
) -> None:
    assert running_child(START_ALL_AND_DIE, str(tmp_path / "the state")).wait(60) == -signal.SIGKILL
    assert embedded_stack.running() == EVERYTHING
    server = postmaster(embedded_stack)
    embedded_stack.start_postgres()
    embedded_stack.up(WRITERS)
    assert (postmaster(embedded_stack), servers_of(embedded_stack)) == (server, [server])
    embedded_stack.down(volumes=False)
    assert not lives(server)
    assert embedded_stack.running() == ()


def test_killed_initdb_leaves_no_half_cluster(embedded_stack: EmbeddedStack, tmp_path: Path) -> None:
    where = embedded_stack._layout
    child = running_child(START, str(tmp_path / "the state"))
    try:
        wait_until(lambda: list(where.cluster.glob("initdb-*/base/1/*")))
    finally:
        child.kill()
        child.wait()
    (aside,) = where.cluster.glob("initdb-*")
    wait_until(
        lambda: not [one for one in psutil.process_iter(["cmdline"]) if aside.name in str(one.info["cmdline"])]
    )
    assert not where.data.exists()
    embedded_stack.start_postgres()
    assert answers(embedded_stack, "select 1") == [(1,)]
    assert not list(where.cluster.glob("initdb-*"))


def test_server_whose_starter_was_killed_is_waited_for(embedded_stack: EmbeddedStack, tmp_path: Path) -> None:
    embedded_stack.start_postgres()
    embedded_stack.stop(["community-node-postgres"])
    pid_file = embedded_stack._layout.data / "postmaster.pid"
    child = running_child(START, str(tmp_path / "the state"))
    try:
        wait_until(pid_file.exists)
    finally:
        child.kill()
        child.wait()
    embedded_stack.start_postgres()
    assert answers(embedded_stack, "select 1") == [(1,)]
    assert servers_of(embedded_stack) == [postmaster(embedded_stack)]


def test_killed_server_starts_again_with_its_data(embedded_stack: EmbeddedStack) -> None:
    embedded_stack.start_postgres()
    answers(embedded_stack, "create table kept as select 5 as n")
    os.kill(postmaster(embedded_stack), signal.SIGKILL)
    wait_until(lambda: embedded_stack.running() == ())
    embedded_stack.start_postgres()
    assert answers(embedded_stack, "select n from kept") == [(5,)]


def test_foreign_process_with_the_servers_number_is_left_alone(embedded_stack: EmbeddedStack) -> None:
    embedded_stack.start_postgres()
    pid_file = embedded_stack._layout.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    embedded_stack.stop(["community-node-postgres"])
    foreign = subprocess.Popen(["sleep", "300"])
    try:
        pid_file.write_text("\n".join([str(foreign.pid), *lines[1:]]) + "\n")
        assert embedded_stack.running() == ()
        embedded_stack.down(volumes=False)
        assert foreign.poll() is None
        pid_file.unlink()
        embedded_stack.down(volumes=True)
        assert foreign.poll() is None
    finally:
        foreign.kill()
        foreign.wait()


def test_server_that_cannot_start_says_why_at_once(embedded_stack: EmbeddedStack) -> None:
    embedded_stack.start_postgres()
    embedded_stack.stop(["community-node-postgres"])
    with (embedded_stack._layout.data / "postgresql.conf").open("a") as configuration:
        configuration.write("shared_buffers = 'a lot'\n")
    began = time.monotonic()
    with pytest.raises(OperationFailed, match="does not start") as failed:
        embedded_stack.start_postgres()
    assert "shared_buffers" in failed.value.evidence
    assert time.monotonic() - began < 10


def test_server_that_takes_too_long_is_timed_out(embedded_stack: EmbeddedStack, tmp_path: Path) -> None:
    embedded_stack.start_postgres()
    os.kill(postmaster(embedded_stack), signal.SIGSTOP)
    pid_file = embedded_stack._layout.data / "postmaster.pid"
    ready = pid_file.read_text()
    pid_file.write_text(ready.replace("ready   ", "starting"))
    impatient = EmbeddedStack(embedded_settings(tmp_path / "the state", postgres=PostgresSettings(deadline=0.5)))
    try:
        with pytest.raises(TimedOut, match=r"within 0\.5 s"):
            impatient.start_postgres()
    finally:
        pid_file.write_text(ready)
        os.kill(postmaster(embedded_stack), signal.SIGCONT)


def test_cluster_of_another_version_is_refused(embedded_stack: EmbeddedStack) -> None:
    embedded_stack.start_postgres()
    embedded_stack.stop(["community-node-postgres"])
    version = embedded_stack._layout.data / "PG_VERSION"
    version.write_text("9\n")
    with pytest.raises(MissingError, match="made by PostgreSQL 9"):
        embedded_stack.start_postgres()
    assert embedded_stack.running() == ()


def test_run_is_marked_in_the_servers_environment(embedded_stack: EmbeddedStack) -> None:
    """Without it the guard against leftovers, in tests/conftest.py, would see nothing."""
    embedded_stack.start_postgres()
    assert psutil.Process(postmaster(embedded_stack)).environ()[RUN_VARIABLE] == os.environ[RUN_VARIABLE]
