"""What every kind of stack must do; `tests/integration/stack` and `tests/e2e/stack` hold it to each of them.

A module gives the fixture ``stack``, one for all of its tests since some take long to start, and a subclass.
Every test finds everything running, and may leave it in any state.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
import urllib.request
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from cn_ops.errors import MissingError, TimedOut, UsageError
from cn_ops.postgres.fingerprint import take
from cn_ops.postgres.load import load
from cn_ops.postgres.load_in_parts import large_tables
from cn_ops.process import ProcessFailed
from cn_ops.stack import Stack
from tests.support.processes import wait_until
from tests.support.stacks import BOOTSTRAP, EVERYTHING, POSTGRES, USER_API, WRITERS

EVERY_BYTE = bytes(range(256)) * 16_384  # 4 MB
SLEEPING = "select count(*)::int from pg_stat_activity where query like '%pg_sleep(' || '123)%' and state = 'active'"
SLEEP = ("psql", "-X", "-d", "cn", "-c", "select pg_sleep(123)")


def rows(stack: Stack, statement: str, database: str = "cn") -> list[tuple[object, ...]]:
    with psycopg.connect(make_conninfo(**stack.conninfo(database))) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def health(stack: Stack) -> int:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{stack.base_url}/healthz", timeout=10) as answer:
        return int(answer.status)


class StackContract:
    """The contract of ``cn_ops.stack.base.Stack``."""

    @pytest.fixture(autouse=True)
    def everything_runs(self, stack: Stack) -> None:
        if stack.running() != EVERYTHING:
            stack.start_postgres()
            stack.up(WRITERS)

    def test_preflight_finds_everything(self, stack: Stack) -> None:
        stack.preflight()

    def test_up_makes_every_service_healthy(self, stack: Stack) -> None:
        assert stack.running() == EVERYTHING
        assert health(stack) == 200
        assert stack.writers == WRITERS

    def test_up_again_changes_nothing(self, stack: Stack) -> None:
        before = rows(stack, "select pg_postmaster_start_time()")
        stack.start_postgres()
        stack.up(WRITERS)
        assert rows(stack, "select pg_postmaster_start_time()") == before
        assert stack.running() == EVERYTHING

    def test_stopped_service_stays_stopped_when_others_are_brought_up(self, stack: Stack) -> None:
        stack.stop([BOOTSTRAP])
        assert stack.running() == (POSTGRES, USER_API)
        stack.up([USER_API])
        stack.start_postgres()
        assert stack.running() == (POSTGRES, USER_API)

    def test_stopped_services_start_again(self, stack: Stack) -> None:
        stack.stop(WRITERS)
        assert stack.running() == (POSTGRES,)
        stack.start(WRITERS)
        assert stack.running() == EVERYTHING
        assert health(stack) == 200

    def test_stopping_what_is_stopped_is_fine(self, stack: Stack) -> None:
        stack.stop([BOOTSTRAP])
        stack.stop([BOOTSTRAP])
        stack.stop([])
        assert stack.running() == (POSTGRES, USER_API)

    def test_no_writer_is_connected_once_writers_are_stopped(self, stack: Stack) -> None:
        stack.stop(WRITERS)
        others = "select count(*)::int from pg_stat_activity where datname = 'cn' and pid <> pg_backend_pid()"
        wait_until(lambda: rows(stack, others) == [(0,)], 5)

    def test_server_stops_and_starts_with_its_data(self, stack: Stack) -> None:
        rows(stack, "create table if not exists public.kept (n int); insert into public.kept values (1)")
        before = rows(stack, "select count(*) from public.kept")
        stack.stop(EVERYTHING)
        assert stack.running() == ()
        with pytest.raises(MissingError, match="does not run"):
            stack.conninfo("cn")
        stack.start_postgres()
        assert stack.running() == (POSTGRES,)
        assert rows(stack, "select count(*) from public.kept") == before

    def test_unknown_service_is_named(self, stack: Stack) -> None:
        with pytest.raises(UsageError):
            stack.up(["no-such-service"])

    def test_tool_streams_every_byte_in_and_out(self, stack: Stack, tmp_path: Path) -> None:
        (tmp_path / "in").write_bytes(EVERY_BYTE)
        rows(stack, "drop table if exists public.blobs; create table public.blobs (n int, body bytea)")
        # COPY in binary format: header, one row of two fields, trailer
        head = b"PGCOPY\n\xff\r\n\x00" + bytes(8) + b"\x00\x02\x00\x00\x00\x04\x00\x00\x00\x01"
        document = head + len(EVERY_BYTE).to_bytes(4, "big") + EVERY_BYTE + b"\xff\xff"
        (tmp_path / "in").write_bytes(document)
        with (tmp_path / "in").open("rb") as source:
            stack.tool(self.copying("FROM STDIN"), stdin=source)
        assert rows(stack, "select md5(body) from public.blobs") == [(hashlib.md5(EVERY_BYTE).hexdigest(),)]
        with (tmp_path / "out").open("wb") as target:
            stack.tool(self.copying("TO STDOUT"), stdout=target)
        assert (tmp_path / "out").read_bytes() == document

    def test_dump_passes_through_pipes_and_is_readable(self, stack: Stack, tmp_path: Path) -> None:
        reading, writing = os.pipe()
        received = bytearray()

        def receive() -> None:
            with os.fdopen(reading, "rb") as stream:
                received.extend(stream.read())

        receiver = threading.Thread(target=receive)
        receiver.start()
        with os.fdopen(writing, "wb") as target, stack.tool_started(["pg_dump", "-Fc", "cn"], stdout=target) as dump:
            target.close()
            dump.wait(60)
        receiver.join()
        (tmp_path / "dump").write_bytes(received)
        with (tmp_path / "dump").open("rb") as source:
            listing = stack.tool(["pg_restore", "--list"], stdin=source).stdout
        assert "TABLE DATA cn_relay events" in listing

    def test_large_table_is_loaded_on_several_sessions(
        self, stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows(stack, "create table if not exists public.large as select n from generate_series(1, 200000) as n")
        before = take(stack, "cn")
        with (tmp_path / "a dump").open("wb") as target:
            stack.tool(["pg_dump", "-Fc", "cn"], stdout=target)
        monkeypatch.setattr("cn_ops.postgres.load_in_parts.LARGE_BYTES", 0)
        assert large_tables(before, 2) == ("public.large",)
        stack.tool(["createdb", "loaded in parts"])
        try:
            load(
                stack,
                "loaded in parts",
                tmp_path / "a dump",
                owners=True,
                privileges=True,
                jobs=2,
                fingerprint=before,
            )
            assert take(stack, "loaded in parts").tables == before.tables
        finally:
            stack.tool(["dropdb", "--force", "loaded in parts"])
            rows(stack, "drop table public.large")

    def test_failing_tool_says_what_the_tool_said(self, stack: Stack) -> None:
        with pytest.raises(ProcessFailed) as failed:
            stack.tool(["psql", "-X", "-d", "cn", "-c", "select * from no_such_table"])
        assert 'relation "no_such_table" does not exist' in failed.value.evidence
        assert failed.value.completed.exit_code == 1

    def test_tool_that_takes_too_long_is_ended_with_its_session(self, stack: Stack) -> None:
        began = time.monotonic()
        with pytest.raises(TimedOut):
            stack.tool(SLEEP, timeout=1)
        assert time.monotonic() - began < 15
        wait_until(lambda: rows(stack, SLEEPING) == [(0,)], 10)

    def test_interrupted_tool_leaves_no_session(self, stack: Stack) -> None:
        def interrupt() -> None:
            with stack.tool_started(SLEEP):
                wait_until(lambda: rows(stack, SLEEPING) == [(1,)], 10)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupt()
        wait_until(lambda: rows(stack, SLEEPING) == [(0,)], 10)

    def test_tool_is_of_the_servers_own_version(self, stack: Stack) -> None:
        ((server,),) = rows(stack, "select current_setting('server_version')")
        assert str(server).split()[0] in stack.tool(["pg_dump", "--version"]).stdout

    def test_conninfo_leads_to_the_database_that_is_asked_for(self, stack: Stack) -> None:
        assert rows(stack, "select current_database()::text, current_user::text") == [("cn", "cn")]
        assert rows(stack, "select current_database()::text", "postgres") == [("postgres",)]

    def test_environment_of_libpq_leads_nobody_astray(self, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {"PGPORT": "1", "PGHOST": "/nowhere", "PGUSER": "eve", "PGDATABASE": "evil"}.items():
            monkeypatch.setenv(name, value)
        assert rows(stack, "select current_database()::text") == [("cn",)]
        asked = stack.tool(["psql", "-X", "-At", "-d", "cn", "-c", "select current_user"])
        assert asked.stdout.strip() == "cn"

    def test_seed_runs_with_the_services_environment(self, stack: Stack) -> None:
        said = stack.run_once(USER_API, ["cn", "e2e", "seed"]).stdout
        (line,) = [line for line in said.splitlines() if line.startswith("E2E_SEED_JSON=")]
        assert json.loads(line.partition("=")[2])["events"] == 9
        assert rows(stack, "select count(*)::int from cn_relay.events") == [(9,)]

    def test_command_that_fails_says_why(self, stack: Stack) -> None:
        with pytest.raises(ProcessFailed) as failed:
            stack.run_once(USER_API, ["cn", "e2e", "seed", "--events", "0"])
        assert "must be from" in failed.value.evidence

    def test_command_that_is_not_there_is_an_error(self, stack: Stack) -> None:
        with pytest.raises((UsageError, MissingError, ProcessFailed)):
            stack.run_once(USER_API, ["no-such-command"])

    def test_logs_name_the_services(self, stack: Stack) -> None:
        logs = stack.logs(200)
        for name in EVERYTHING:
            assert name in logs
        assert "listening on" in logs

    def test_status_describes_every_service(self, stack: Stack) -> None:
        stack.stop([BOOTSTRAP])
        status = {one.name: one for one in stack.status()}
        assert set(status) == set(EVERYTHING)
        assert {name for name, one in status.items() if one.running} == {POSTGRES, USER_API}

    def test_free_space_is_measured(self, stack: Stack) -> None:
        free = stack.free_bytes()
        assert free is not None
        assert free > 1024 * 1024

    def test_down_keeps_the_data(self, stack: Stack) -> None:
        rows(stack, "drop table if exists public.survives; create table public.survives (n int)")
        stack.down(volumes=False)
        assert stack.running() == ()
        stack.start_postgres()
        assert rows(stack, "select to_regclass('public.survives') is not null") == [(True,)]

    def test_down_with_volumes_removes_the_data(self, stack: Stack) -> None:
        rows(stack, "drop table if exists public.gone; create table public.gone (n int)")
        identity = rows(stack, "select system_identifier from pg_control_system()")
        stack.down(volumes=True)
        assert stack.running() == ()
        stack.down(volumes=True)
        stack.start_postgres()
        assert rows(stack, "select to_regclass('public.gone') is null") == [(True,)]
        assert rows(stack, "select system_identifier from pg_control_system()") != identity

    @staticmethod
    def copying(direction: str) -> list[str]:
        statement = f"COPY public.blobs {direction} (FORMAT binary)"
        return ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "cn", "-c", statement]
