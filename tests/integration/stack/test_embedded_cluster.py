"""The embedded server: where it lives, for whom, and what a killed command leaves of it."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from cn_ops.errors import MissingError, OperationFailed, TimedOut
from cn_ops.settings import EmbeddedSettings, PostgresSettings
from cn_ops.stack.embedded import EmbeddedStack
from cn_ops.stack.embedded_layout import layout, wheel_binaries
from tests.support import stacks
from tests.support.leftovers import RUN_VARIABLE
from tests.support.ordinary import OrdinaryUser, ordinary_user
from tests.support.processes import lives, wait_until
from tests.support.stacks import EVERYTHING, WRITERS, embedded_settings

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has folders that the server's account cannot enter")

FOLDERS = [
    pytest.param('it\'s "$HOME" `id` \\ 100%20,?&=#; 日本語 🌸', id="special"),
    pytest.param("/".join(["long" * 40] * 4), id="long"),
]

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

# Everything that an ordinary user does with a stack; printed is what the test looks at.
USE = """
import os, sys
from pathlib import Path
import psycopg
from psycopg.conninfo import make_conninfo
from cn_ops.settings import Settings
from cn_ops.settings import EmbeddedSettings, PostgresSettings
from cn_ops.stack.embedded import EmbeddedStack
stack = EmbeddedStack(Settings(state=Path(sys.argv[1])))
stack.preflight()
stack.start_postgres()
try:
    with psycopg.connect(make_conninfo(**stack.conninfo("cn"))) as connection:
        print(connection.execute("select current_setting('data_directory')").fetchone()[0])
    print(os.geteuid(), stack.tool(["psql", "-XAtc", "select 1", "cn"]).stdout.strip())
    if sys.argv[2:] == ["up"]:
        stack.up(stack.writers)
        print(*stack.running())
finally:
    stack.down(volumes=True)
print("left" if Path(sys.argv[1]).exists() and os.listdir(sys.argv[1]) else "gone")
"""


def modes(path: Path) -> dict[Path, tuple[int, int, int]]:
    found = {folder: folder.stat() for folder in (path, *path.parents)}
    return {folder: (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid) for folder, info in found.items()}


def answers(stack: EmbeddedStack, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(make_conninfo(**stack.conninfo("cn")), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def postmaster(stack: EmbeddedStack) -> int:
    pid = stack._cluster.pid()
    assert pid is not None
    return pid


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


@pytest.fixture(scope="module")
def someone(postgres: None) -> Iterator[OrdinaryUser]:
    with ordinary_user() as user:
        yield user


@pytest.mark.parametrize("folder", FOLDERS)
def test_ordinary_user_has_a_server_in_any_folder(someone: OrdinaryUser, folder: str) -> None:
    done = someone.run(USE, str(someone.home / folder))
    assert done.returncode == 0, done.stderr
    place, says, left = done.stdout.splitlines()
    assert place == str(someone.home / folder / "embedded" / "data")
    assert says.split() == [str(someone.home.stat().st_uid), "1"]
    assert says.split()[0] != "0"
    assert left == "gone"


def test_ordinary_user_has_the_services_and_no_folder_changes(someone: OrdinaryUser) -> None:
    before = modes(someone.home)
    done = someone.run(USE, str(someone.home / "state"), "up")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[2].split() == list(EVERYTHING)
    assert modes(someone.home) == before


@pytest.mark.parametrize("folder", FOLDERS)
def test_server_starts_in_any_folder_that_only_its_owner_enters(postgres: None, tmp_path: Path, folder: str) -> None:
    home = tmp_path / folder
    home.mkdir(parents=True, mode=0o700)
    before = {**modes(home), **modes(Path.home()), **modes(Path(sys.prefix))}
    with stacks.embedded(home) as stack:
        stack.start_postgres()
        assert answers(stack, "select 1") == [(1,)]
        assert {**modes(home), **modes(Path.home()), **modes(Path(sys.prefix))} == before
    assert {**modes(home), **modes(Path.home()), **modes(Path(sys.prefix))} == before


def test_nothing_listens_on_the_network(embedded_stack: EmbeddedStack) -> None:
    embedded_stack.start_postgres()
    assert answers(embedded_stack, "show listen_addresses") == [("",)]
    assert psutil.Process(postmaster(embedded_stack)).net_connections("inet") == []


def test_folders_of_the_cluster_are_its_owners_alone(embedded_stack: EmbeddedStack) -> None:
    embedded_stack.start_postgres()
    where = embedded_stack._layout
    for folder in (where.data, where.sockets, where.server_log.parent, where.home):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder


def test_stack_is_found_again_through_a_link(embedded_stack: EmbeddedStack, tmp_path: Path) -> None:
    embedded_stack.start_postgres()
    (tmp_path / "link").symlink_to(tmp_path / "the state")
    same = EmbeddedStack(embedded_settings(tmp_path / "link"))
    assert postmaster(same) == postmaster(embedded_stack)


def test_two_stacks_live_side_by_side(embedded_stack: EmbeddedStack, tmp_path: Path) -> None:
    with stacks.embedded(tmp_path / "other") as other:
        embedded_stack.start_postgres()
        other.start_postgres()
        assert postmaster(other) != postmaster(embedded_stack)
        other.down(volumes=True)
        assert answers(embedded_stack, "select 1") == [(1,)]


def test_removal_leaves_what_is_not_ours(embedded_stack: EmbeddedStack, tmp_path: Path) -> None:
    embedded_stack.start_postgres()
    mine = tmp_path / "the state" / "embedded" / "my notes"
    mine.write_text("mine")
    embedded_stack.down(volumes=True)
    assert [mine] == list(mine.parent.iterdir())
    assert not embedded_stack._layout.area.exists()


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


def test_missing_binaries_are_named(postgres: None, tmp_path: Path) -> None:
    settings = EmbeddedSettings(bin_dir=tmp_path / "nothing")
    with (
        stacks.embedded(tmp_path / "state", embedded=settings) as stack,
        pytest.raises(MissingError, match="no PostgreSQL server in"),
    ):
        stack.preflight()


@as_root
def test_binaries_that_the_account_cannot_reach_are_copied(postgres: None, tmp_path: Path) -> None:
    package = wheel_binaries().parents[1]
    private = tmp_path / "only root"
    private.mkdir(mode=0o700)
    shutil.copytree(package, private / package.name)
    shutil.copytree(package.with_name(f"{package.name}.libs"), private / f"{package.name}.libs")
    settings = EmbeddedSettings(bin_dir=private / package.name / "pginstall" / "bin")
    with stacks.embedded(tmp_path / "state", embedded=settings) as stack:
        stack.start_postgres()
        assert answers(stack, "select 1") == [(1,)]
        assert stack.tool(["pg_dump", "-Fc", "cn"]).exit_code == 0
        assert stack._cluster.binaries.is_relative_to(stack._layout.area)
        stack.down(volumes=True)
        stack.start_postgres()
        assert answers(stack, "select 2") == [(2,)]
    assert stat.S_IMODE(private.stat().st_mode) == 0o700


@as_root
def test_area_that_another_user_made_is_refused(tmp_path: Path) -> None:
    where = layout(tmp_path / "embedded")
    where.area.mkdir()
    try:
        shutil.chown(where.area, "nobody")
        with pytest.raises(OperationFailed, match="is not ours"):
            where.make()
    finally:
        where.area.rmdir()


def test_run_is_marked_in_the_servers_environment(embedded_stack: EmbeddedStack) -> None:
    """Without it the guard against leftovers, in tests/conftest.py, would see nothing."""
    embedded_stack.start_postgres()
    assert psutil.Process(postmaster(embedded_stack)).environ()[RUN_VARIABLE] == os.environ[RUN_VARIABLE]
