"""What a server and its tools say is understood where they speak German."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from cn_ops.errors import MissingError, OperationFailed, UsageError
from cn_ops.postgres.archive import read_header
from cn_ops.postgres.dump import DumpPlan, dump_database
from cn_ops.postgres.load import run_globals
from cn_ops.postgres.locks import TablesInUse
from cn_ops.postgres.session import connected, explained, session
from cn_ops.postgres.snapshot import Snapshot
from cn_ops.stack.embedded import EmbeddedStack
from tests.support import stacks
from tests.support.capabilities import require
from tests.support.operations import execute

BINARIES = Path("/usr/lib/postgresql/15/bin")
PLAN = DumpPlan("custom", "1", 1)
DATABASE = "the live one"
LANGUAGE = {"LANG": "C.UTF-8", "LANGUAGE": "de"}


@pytest.fixture(scope="module")
def german(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """A server that speaks German."""
    require("postgres15")  # Debian's has translations
    with pytest.MonkeyPatch.context() as patch:
        _speak_german(patch)
        configuration = "lc_messages = 'C.UTF-8'\n"
        state = tmp_path_factory.mktemp("german") / "the state"
        with stacks.embedded(state, embedded={"bin_dir": BINARIES}, configuration=configuration) as stack:
            stack.start_postgres()
            execute(stack, "CREATE DATABASE {}", DATABASE)
            yield stack


@pytest.fixture(autouse=True)
def german_tools(german: EmbeddedStack) -> Iterator[None]:
    """Tools would speak German as well."""
    with pytest.MonkeyPatch.context() as patch:
        _speak_german(patch)
        yield


def _speak_german(patch: pytest.MonkeyPatch) -> None:
    for name, value in LANGUAGE.items():
        patch.setenv(name, value)
    for name in ("LC_ALL", "LC_MESSAGES"):
        patch.delenv(name, raising=False)


def _answer(stack: EmbeddedStack, statement: str) -> str:
    argv = [
        str(BINARIES / "psql"),
        "--no-psqlrc",
        make_conninfo(**stack.conninfo(DATABASE)),
        f"--command={statement}",
    ]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stderr


def test_they_speak_german_to_others(german: EmbeddedStack) -> None:
    assert "Relation »gone« existiert nicht" in _answer(german, "SELECT FROM gone")
    assert "ungültige Anweisung" in _answer(german, r"\gone")


def test_refused_connection_says_why(german: EmbeddedStack) -> None:
    with pytest.raises(MissingError, match="the server has no database 'gone'") as failed, session(german, "gone"):
        pass
    assert "existiert nicht" in failed.value.evidence
    parameters = {**german.conninfo(DATABASE), "user": "nobody"}
    with (
        pytest.raises(UsageError, match="does not let role 'nobody' into"),
        explained("nobody", DATABASE),
        connected(parameters, {}),
    ):
        pass


def test_dump_that_waits_for_a_lock_is_to_be_tried_again(german: EmbeddedStack) -> None:
    with session(german, DATABASE) as holder, session(german, DATABASE) as view:
        holder.execute("CREATE TABLE public.held AS SELECT 1")
        with holder.transaction(), view.transaction():
            view.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            ((exported,),) = view.execute("SELECT pg_export_snapshot()").fetchall()
            holder.execute("LOCK TABLE public.held IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(TablesInUse):
                dump_database(german, DATABASE, PLAN, Snapshot(str(exported), view), io.BytesIO(), lambda _: None)
        holder.execute("DROP TABLE public.held")


def test_role_that_is_there_is_no_error_and_everything_else_is(german: EmbeddedStack, tmp_path: Path) -> None:
    script = tmp_path / "the globals.sql"
    script.write_text("CREATE ROLE once;\nCREATE ROLE twice;\nCREATE ROLE twice;\nDROP ROLE IF EXISTS nobody;\n")
    run_globals(german, script)
    script.write_text('CREATE ROLE once;\nALTER ROLE "it already exists: 42710" LOGIN;\nCREATE ROLE twice;\n')
    with pytest.raises(OperationFailed, match=r"the globals\.sql cannot be restored") as failed:
        run_globals(german, script)
    (problem,) = failed.value.evidence.splitlines()
    assert "it already exists: 42710" in problem
    assert "42704" in problem


def test_dump_of_a_newer_pg_dump_is_not_called_damaged(german: EmbeddedStack, tmp_path: Path) -> None:
    dump = tmp_path / "a dump.dump"
    with dump.open("w+b") as target, session(german, DATABASE) as view, view.transaction():
        view.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        ((exported,),) = view.execute("SELECT pg_export_snapshot()").fetchall()
        dump_database(german, DATABASE, PLAN, Snapshot(str(exported), view), target, lambda _: None)
    whole = dump.read_bytes()
    minor_version = 6  # of the archive's format, after the mark and the major one
    dump.write_bytes(whole[:minor_version] + bytes([99]) + whole[minor_version + 1 :])
    with pytest.raises(UsageError, match="a newer pg_dump"):
        read_header(german, dump)
