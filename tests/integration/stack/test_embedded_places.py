"""The embedded server: where it lives, for whom, and which folders it leaves as they are."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cn_ops.errors import MissingError, OperationFailed, UsageError
from cn_ops.settings import BackupSettings, EmbeddedSettings
from cn_ops.stack.embedded import EmbeddedStack
from cn_ops.stack.embedded_layout import layout, wheel_binaries
from tests.support import stacks
from tests.support.ordinary import OrdinaryUser, ordinary_user
from tests.support.servers import answers, postmaster
from tests.support.stacks import EVERYTHING

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has folders that the server's account cannot enter")

FOLDERS = [
    pytest.param('it\'s "$HOME" `id` \\ 100%20,?&=#; 日本語 🌸', id="special"),
    pytest.param("/".join(["long" * 40] * 4), id="long"),
]

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


def test_two_stacks_live_side_by_side(embedded_stack: EmbeddedStack, tmp_path: Path) -> None:
    with stacks.embedded(tmp_path / "other") as other:
        embedded_stack.start_postgres()
        other.start_postgres()
        assert postmaster(other) != postmaster(embedded_stack)
        other.down(volumes=True)
        assert answers(embedded_stack, "select 1") == [(1,)]


def test_removal_leaves_what_is_not_ours(embedded_stack: EmbeddedStack, tmp_path: Path) -> None:
    embedded_stack.start_postgres()
    home = tmp_path / "the state" / "embedded"
    mine = [home / "my notes", home / "log" / "z", home / "logs" / "access.log"]
    for file in mine:
        file.parent.mkdir(exist_ok=True)
        file.write_text("mine")
    embedded_stack.down(volumes=True)
    assert sorted(path for path in home.rglob("*") if path.is_file()) == sorted(mine)
    assert not embedded_stack._layout.area.exists()


def test_folder_of_somebody_s_own_data_is_refused_and_left(someone: OrdinaryUser) -> None:
    """As root the data directory is elsewhere."""
    mine = someone.home / "own" / "embedded" / "data" / "customers.csv"
    done = someone.run(f"""
import sys
from pathlib import Path
from cn_ops.errors import UsageError
from cn_ops.settings import Settings
from cn_ops.stack.embedded import EmbeddedStack
mine = Path({str(mine)!r})
mine.parent.mkdir(parents=True)
mine.write_text("mine")
stack = EmbeddedStack(Settings(state=mine.parents[2]))
for act in (stack.start_postgres, lambda: stack.down(volumes=True)):
    try:
        act()
    except UsageError as error:
        print(error.message)
print(mine.read_text())
""")
    assert done.returncode == 0, done.stderr
    *refused, text = done.stdout.splitlines()
    assert refused == [f"{mine.parent} is no data directory of PostgreSQL"] * 2
    assert text == "mine"


def test_rest_of_a_data_directory_is_named_and_can_be_removed(someone: OrdinaryUser, tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from cn_ops.errors import MissingError
from cn_ops.settings import Settings
from cn_ops.stack.embedded import EmbeddedStack
stack = EmbeddedStack(Settings(state=Path(sys.argv[1])))
stack.start_postgres()
stack.stop([stack._postgres.service])
(stack._layout.data / "PG_VERSION").unlink()
try:
    stack.start_postgres()
except MissingError as error:
    print(error.message)
stack.down(volumes=True)
stack.start_postgres()
stack.down(volumes=True)
print(stack._layout.data.exists())
"""
    mine = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    for done in (someone.run(program, str(someone.home / "rest")), mine):
        assert done.returncode == 0, done.stderr
        said, is_left = done.stdout.splitlines()
        assert "it is the rest of a data directory" in said
        assert is_left == "False"


def test_backups_in_the_cluster_s_own_folder_are_refused(tmp_path: Path) -> None:
    settings = stacks.embedded_settings(tmp_path)
    inside = layout(tmp_path / "embedded").data / "backups"
    stack = EmbeddedStack(settings.model_copy(update={"backup": BackupSettings(directory=inside)}))
    for act in (stack.preflight, lambda: stack.down(volumes=True)):
        with pytest.raises(UsageError, match=re.escape(str(inside))):
            act()


def test_scratch_server_never_takes_the_place_of_another_cluster(
    embedded_stack: EmbeddedStack, tmp_path: Path
) -> None:
    embedded_stack.start_postgres()
    with stacks.embedded(tmp_path / "other", embedded=EmbeddedSettings(directory=tmp_path / "pg-scratch")) as other:
        other.start_postgres()
        one = EmbeddedStack(
            stacks.embedded_settings(tmp_path / "one", embedded=EmbeddedSettings(directory=tmp_path / "pg"))
        )
        with pytest.raises(UsageError, match="pg-scratch"), one.scratch():
            pytest.fail("it was taken")
        assert answers(other, "select 1") == [(1,)]
        other.down(volumes=True)
        for _ in range(2):
            with one.scratch() as scratch:
                assert isinstance(scratch, EmbeddedStack)
                assert answers(scratch, "select 1") == [(1,)]
        assert not (tmp_path / "pg-scratch").exists()


def test_moved_folder_has_the_same_cluster(someone: OrdinaryUser) -> None:
    program = """
import sys
from pathlib import Path
from cn_ops.settings import Settings
from cn_ops.stack.embedded import EmbeddedStack
stack = EmbeddedStack(Settings(state=Path(sys.argv[1])))
stack.start_postgres()
print(stack.tool(["psql", "-XAtc", sys.argv[2], "cn"]).stdout.strip())
stack.down(volumes=sys.argv[3] == "remove")
"""
    before, after = someone.home / "before", someone.home / "after"
    made = someone.run(program, str(before), "CREATE TABLE t AS SELECT 7 AS n", "keep")
    assert made.returncode == 0, made.stderr
    # What is left is the folder of its socket.
    moving = """
import os, shutil, sys
from pathlib import Path
from cn_ops.stack.embedded_layout import layout
os.rename(sys.argv[1], sys.argv[2])
shutil.rmtree(layout(Path(sys.argv[1]) / "embedded").area)
"""
    assert someone.run(moving, str(before), str(after)).returncode == 0
    moved = someone.run(program, str(after), "SELECT n FROM t", "remove")
    assert moved.returncode == 0, moved.stderr
    assert moved.stdout.strip() == "7"


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
