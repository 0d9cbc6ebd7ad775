"""A large table is loaded on several sessions: all of its rows, or an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from cn_ops.errors import OperationFailed
from cn_ops.postgres import load_in_parts
from cn_ops.postgres.fingerprint import take
from cn_ops.postgres.load import load
from cn_ops.postgres.load_in_parts import entries, load_table
from cn_ops.process import ProcessFailed
from cn_ops.stack import Server
from cn_ops.stack.embedded import EmbeddedStack
from tests.support.processes import wait_until
from tests.support.servers import filled

TABLES = r"""
CREATE TABLE large (n int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text,
  one int GENERATED ALWAYS AS (1) STORED);
INSERT INTO large (body) SELECT repeat(n::text, 30) FROM generate_series(1, 20000) AS n;
INSERT INTO large (body) VALUES (E'\\.'), (E'a\nb\tc\\'), (''), (NULL), (E'\r\n');
INSERT INTO large (body) VALUES ('COPY x (y) FROM stdin;'), ('こんにちは');
CREATE TABLE small (n int REFERENCES large); INSERT INTO small SELECT generate_series(1, 50);
CREATE TABLE "small copy" AS TABLE small;
CREATE VIEW v AS SELECT count(*) FROM large; CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM large;
CREATE INDEX ON large (body); SELECT lo_from_bytea(0, 'content'); GRANT SELECT ON large TO PUBLIC;
"""


@pytest.fixture
def database(database_url: str) -> str:
    return filled(database_url, TABLES)


@pytest.fixture
def target(database: str, database_url: str) -> Iterator[str]:
    """An empty database."""
    name = f"{database}_restored"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0'.encode())
        yield name
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@pytest.fixture
def dump(server: EmbeddedStack, database: str, tmp_path: Path) -> Path:
    path = tmp_path / "a dump"
    with path.open("wb") as stream:
        server.tool(["pg_dump", "--format=custom", database], stdout=stream)
    return path


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every table counts as large that would take one of the sessions longer than the rest; these were."""
    loaded: list[str] = []
    whole: Callable[..., None] = load_in_parts.load_table

    def recorded(server: Server, database: str, entry: str, *others: object) -> None:
        loaded.append(entry.split(" ", 3)[3])
        whole(server, database, entry, *others)

    monkeypatch.setattr(load_in_parts, "LARGE_BYTES", 0)
    monkeypatch.setattr("cn_ops.postgres.load.load_table", recorded)
    return loaded


@pytest.mark.parametrize("jobs", [2, 3])
def test_everything_is_there(
    jobs: int, server: EmbeddedStack, database: str, target: str, dump: Path, in_parts: list[str]
) -> None:
    before = take(server, database)
    load(server, target, dump, owners=True, privileges=True, jobs=jobs, fingerprint=before)
    after = take(server, target)
    assert [one.partition(" public large ")[0] for one in in_parts] == ["TABLE DATA"]
    assert (after.tables, after.objects, after.sequences) == (before.tables, before.objects, before.sequences)
    assert (after.large_objects, after.materialized_views) == (before.large_objects, before.materialized_views)


def test_one_session_loads_as_ever(
    server: EmbeddedStack, database: str, target: str, dump: Path, in_parts: list[str]
) -> None:
    before = take(server, database)
    load(server, target, dump, owners=True, privileges=True, jobs=1, fingerprint=before)
    assert take(server, target).tables == before.tables
    assert in_parts == []


def test_tables_that_are_not_much_larger_than_the_rest_are_loaded_as_ever(
    server: EmbeddedStack, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fingerprint = take(server, database)
    assert load_in_parts.large_tables(fingerprint, 8) == ()
    monkeypatch.setattr(load_in_parts, "LARGE_BYTES", 0)
    assert load_in_parts.large_tables(fingerprint, 8) == ("public.large",)
    assert load_in_parts.large_tables(fingerprint, 1) == ()


def test_table_whose_line_is_not_certain_is_among_the_others(server: EmbeddedStack, dump: Path) -> None:
    """`public small copy` is a table `small` of an owner `copy …`, or one `small copy`."""
    large, others = entries(server, dump, ["public.large", "public.small"])
    assert [line.split()[3:7] for line in large] == [["TABLE", "DATA", "public", "large"]]
    assert sum(" TABLE DATA public small " in line for line in others) == 2


@pytest.mark.parametrize(
    ("table", "is_split"),
    [
        ('public.one (n int, "a\nb" int)', False),
        ('public."one\nmore" (n int)', False),
        ("public.one () INHERITS (public.par)", False),
        ("public.one (n text DEFAULT E'a\\nb', \"c d\" int)", True),
    ],
)
def test_table_with_a_name_over_two_lines_is_not_split(
    table: str,
    is_split: bool,
    server: EmbeddedStack,
    database: str,
    database_url: str,
    target: str,
    tmp_path: Path,
    in_parts: list[str],
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP TABLE large CASCADE")
        if "INHERITS" in table:
            connection.execute('CREATE TABLE public.par (n int, "a\nb" int)')
        connection.execute(f"CREATE TABLE {table}".encode())
        name = table.partition(" (")[0]
        connection.execute(f"INSERT INTO {name} (n) SELECT generate_series(1, 20000)".encode())
    with (tmp_path / "dump").open("wb") as stream:
        server.tool(["pg_dump", "--format=custom", database], stdout=stream)
    before = take(server, database)
    load(server, target, tmp_path / "dump", owners=True, privileges=True, jobs=2, fingerprint=before)
    assert take(server, target).tables == before.tables
    assert bool(in_parts) == is_split


def failing(server: EmbeddedStack, target: str, dump: Path, script: str) -> str:
    """Load the table with a script in place of pg_restore; return what the failure said."""
    (entry,), _ = entries(server, dump, ["public.large"])
    server.tool(["pg_restore", "--section=pre-data", f"--dbname={target}", str(dump)])
    with pytest.raises(ProcessFailed) as failed:
        load_table(server, f"dbname={target}", entry, ["sh", "-c", script, "pg_restore"], str(dump), 2)
    return failed.value.evidence


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ('pg_restore --data-only "$@"; exit 1', "cn-ops: pg_restore failed"),
        ('pg_restore --data-only "$@" | head -n 900', ""),
        ('pg_restore --data-only "$@" | sed "s/^[0-9]*\t/x\t/"', "invalid input syntax"),
        ('pg_restore --data-only "$@" | sed "s/^COPY public.large/COPY public.absent/"', "does not exist"),
        ('pg_restore --data-only --inserts "$@"', "in place of a table"),
        ("echo 'SELECT 1;'", "in place of a table"),
        ("true", ""),
    ],
)
def test_what_is_cut_short_wrong_or_no_table_is_an_error(
    script: str, said: str, server: EmbeddedStack, target: str, dump: Path
) -> None:
    assert said in failing(server, target, dump, script)


# A check that holds where the dump was made, and does this where it is restored.
PICKY = """
CREATE FUNCTION holds(n int) RETURNS bool LANGUAGE plpgsql AS
  $$ BEGIN IF current_setting('cn.holds', true) = 'yes' THEN RETURN true; END IF; {}; RETURN true; END $$;
SET cn.holds = 'yes'; CREATE TABLE picky (n int CHECK (holds(n))); INSERT INTO picky VALUES (1);
"""


def picky(server: EmbeddedStack, database_url: str, does: str, path: Path) -> None:
    """Dump the database with a table more, whose check does this when it is restored."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(PICKY.format(does).encode())
    with path.open("wb") as stream:
        server.tool(["pg_dump", "--format=custom", str(conninfo_to_dict(database_url)["dbname"])], stdout=stream)


def at_work(database_url: str, target: str) -> int:
    query = "SELECT count(*)::int FROM pg_stat_activity WHERE datname = %s"
    with psycopg.connect(database_url) as connection:
        row = connection.execute(query, (target,)).fetchone()
    assert row is not None
    return int(row[0])


def test_failure_of_the_rest_fails_the_load(
    server: EmbeddedStack, database: str, database_url: str, target: str, tmp_path: Path, in_parts: list[str]
) -> None:
    picky(server, database_url, "RAISE 'it does not hold'", tmp_path / "dump")
    fingerprint = take(server, database)
    with pytest.raises(ProcessFailed) as failed:
        load(server, target, tmp_path / "dump", owners=True, privileges=True, jobs=2, fingerprint=fingerprint)
    assert "it does not hold" in failed.value.evidence
    assert len(in_parts) == 1
    wait_until(lambda: at_work(database_url, target) == 0)


def test_failure_of_a_large_table_ends_the_rest(
    server: EmbeddedStack,
    database: str,
    database_url: str,
    target: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    picky(server, database_url, "PERFORM pg_sleep(60)", tmp_path / "dump")

    def fails(*_: object) -> None:
        wait_until(lambda: at_work(database_url, target) > 0)
        raise OperationFailed("the large one fails")

    monkeypatch.setattr(load_in_parts, "LARGE_BYTES", 0)
    monkeypatch.setattr("cn_ops.postgres.load.load_table", fails)
    fingerprint = take(server, database)
    with pytest.raises(OperationFailed, match="the large one fails"):
        load(server, target, tmp_path / "dump", owners=True, privileges=True, jobs=2, fingerprint=fingerprint)
    wait_until(lambda: at_work(database_url, target) == 0)
