"""The server stack: what of every stack's contract applies to a server that is not ours, and what is its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from cn_ops.errors import MissingError, UsageError
from cn_ops.postgres.session import session
from cn_ops.process import ProcessFailed
from cn_ops.stack.server import ServerStack
from tests.support.nodes import rows
from tests.support.processes import wait_until
from tests.support.tcp_server import PASSWORD, TENANT, ServerSite, TcpServer

from .conftest import NewSite, Tools

EVERY_BYTE = bytes(range(256)) * 4096
SLEEPING = "select count(*)::int from pg_stat_activity where query like '%pg_sleep(' || '123)%' and state = 'active'"


@pytest.fixture
def stack(site: ServerSite) -> ServerStack:
    return site.stack


def test_preflight_finds_everything(stack: ServerStack) -> None:
    stack.preflight()
    stack.start_postgres()


def test_tool_streams_every_byte_in_and_out(stack: ServerStack, site: ServerSite, tmp_path: Path) -> None:
    site.rows("create table public.blobs (n int, body bytea)")
    head = b"PGCOPY\n\xff\r\n\x00" + bytes(8) + b"\x00\x02\x00\x00\x00\x04\x00\x00\x00\x01"
    document = head + len(EVERY_BYTE).to_bytes(4, "big") + EVERY_BYTE + b"\xff\xff"
    (tmp_path / "in").write_bytes(document)
    copy = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c"]
    with (tmp_path / "in").open("rb") as source:
        stack.tool([*copy, "COPY public.blobs FROM STDIN (FORMAT binary)"], stdin=source)
    with (tmp_path / "out").open("wb") as target:
        stack.tool([*copy, "COPY public.blobs TO STDOUT (FORMAT binary)"], stdout=target)
    assert (tmp_path / "out").read_bytes() == document


def test_interrupted_tool_leaves_no_session(stack: ServerStack) -> None:
    def interrupt() -> None:
        with stack.tool_started(["psql", "-X", "-c", "select pg_sleep(123)"]):
            wait_until(lambda: rows(stack, SLEEPING, "postgres") == [(1,)], 10)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    wait_until(lambda: rows(stack, SLEEPING, "postgres") == [(0,)], 10)


def test_failing_tool_says_why(stack: ServerStack) -> None:
    with pytest.raises(ProcessFailed) as failed:
        stack.tool(["psql", "-X", "-v", "ON_ERROR_STOP=1", "-c", "select nonsense"])
    assert "nonsense" in failed.value.evidence


def test_environment_of_libpq_leads_nobody_astray(
    stack: ServerStack, site: ServerSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    astray = {"PGPORT": "1", "PGHOST": "/nowhere", "PGHOSTADDR": "127.0.0.9", "PGUSER": "eve", "PGDATABASE": "evil"}
    for name, value in {**astray, "PGOPTIONS": "-c default_transaction_read_only=on"}.items():
        monkeypatch.setenv(name, value)
    question = "select current_database() || ' ' || current_user || ' ' || current_setting('transaction_read_only')"
    expected = f"{site.database} {TENANT} off"
    assert stack.tool(["psql", "-X", "-At", "-c", question]).stdout.strip() == expected
    with session(stack, site.database) as connection:
        assert connection.execute(question.encode()).fetchall() == [(expected,)]


@pytest.mark.parametrize("way", ["PGPASSWORD", "PGPASSFILE", "service", "pairs"])
def test_password_may_come_from_where_libpqs_users_keep_it(
    way: str, site: ServerSite, tcp: TcpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = f"postgresql://{TENANT}@127.0.0.1:{tcp.port}/{site.database}"
    if way == "PGPASSWORD":
        monkeypatch.setenv(way, PASSWORD)
    elif way == "PGPASSFILE":
        (tmp_path / "pass").write_text("*:*:*:*:" + PASSWORD.replace("\\", "\\\\").replace(":", "\\:"))
        (tmp_path / "pass").chmod(0o600)
        monkeypatch.setenv(way, str(tmp_path / "pass"))
    elif way == "service":
        (tmp_path / "services").write_text(
            f"[it]\nhost=127.0.0.1\nport={tcp.port}\nuser={TENANT}\npassword={PASSWORD}\n"
        )
        monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
        dsn = f"service=it dbname={site.database}"
    else:
        quoted = PASSWORD.replace("'", "\\'")
        dsn = f"host=127.0.0.1 port={tcp.port} user={TENANT} password='{quoted}' dbname={site.database}"
    site.change({"stack": {"server": {"dsn": dsn}}})
    stack = site.stack
    assert stack.tool(["psql", "-X", "-At", "-c", "select 1"]).stdout == "1\n"
    with session(stack, site.database) as connection:
        assert connection.execute("select 1").fetchall() == [(1,)]


def test_free_space_is_not_known(stack: ServerStack) -> None:
    assert stack.free_bytes() is None


def test_status_shows_version_and_reachability(site: ServerSite) -> None:
    (server,) = site.stack.status()
    assert (server.name, server.running) == ("server", True)
    assert server.health.startswith("PostgreSQL 1")
    assert server.where == f"127.0.0.1:{site.server.port}/{site.database}"
    site.change({"stack": {"server": {"dsn": site.server.dsn("no such database")}}})
    (server,) = site.stack.status()
    assert server.running  # the server is there, and that database is not
    assert 'database "no such database" does not exist' in server.health
    site.change({"stack": {"server": {"dsn": "host=127.0.0.1 port=1 user=cn dbname=cn"}}})
    (server,) = site.stack.status()
    assert not server.running
    assert server.health.startswith("not reachable")


def test_server_is_neither_started_nor_ended(stack: ServerStack) -> None:
    with pytest.raises(UsageError, match="not started by cn-ops"):
        stack.down(volumes=True)
    assert "where they run" in stack.logs(10)


def test_service_that_nobody_knows_is_named(stack: ServerStack) -> None:
    with pytest.raises(UsageError, match="no-such-service"):
        stack.up(["no-such-service"])


def test_writers_are_stopped_and_started_by_their_commands(new_site: NewSite, tmp_path: Path) -> None:
    said = tmp_path / "said"
    say = {word: ["sh", "-c", f"echo {word} >> '{said}'"] for word in ("stop", "start")}
    site = new_site(stack={"server": say})
    assert site.stack.running() == ("server", "writers")
    site.stack.stop(site.stack.writers)
    assert site.stack.running() == ("server",)
    site.stack.start(site.stack.writers)
    assert site.stack.running() == ("server", "writers")
    site.stack.up(site.stack.writers)
    assert said.read_text().split() == ["stop", "start"]


def test_stop_command_that_fails_stops_nothing(new_site: NewSite) -> None:
    site = new_site(stack={"server": {"stop": ["sh", "-c", "echo no >&2; exit 3"], "start": ["true"]}})
    with pytest.raises(ProcessFailed, match="exit code 3"):
        site.stack.stop(site.stack.writers)
    assert site.stack.running() == ("server", "writers")


def test_command_that_runs_once_finds_the_database(stack: ServerStack, site: ServerSite) -> None:
    said = stack.run_once("any", ["sh", "-c", 'echo "$PGDATABASE $DATABASE_URL"']).stdout
    assert said.split() == [site.database, site.server.dsn(site.database)]


def test_scratch_server_is_of_the_same_version_and_gone_afterwards(
    stack: ServerStack, site: ServerSite, tools: Tools
) -> None:
    version = rows(stack, "select current_setting('server_version')", "postgres")
    # Scripts have no server beside them, so the wheel's is taken.
    for alone in (False, True):
        if alone:
            names = ("pg_dump", "pg_dumpall", "pg_restore", "psql", "postgres")
            tools(site, **dict.fromkeys(names[:4], 'exec {real} "$@"'), postgres="exit 1")
        with site.stack.scratch() as scratch:
            assert rows(scratch, "select current_setting('server_version')", "postgres") == version
            assert rows(scratch, "select count(*)::int from pg_roles where rolname = 'tenant'", "postgres") == [(0,)]
            place = Path(scratch.conninfo("postgres")["host"])
            assert place.exists()
        assert not place.exists()


def test_scratch_server_of_a_version_that_is_not_here_is_missing(stack: ServerStack) -> None:
    with pytest.raises(MissingError, match="PostgreSQL 99") as failed:
        stack._binaries("99.1")
    assert "postgresql-99" in failed.value.hint
