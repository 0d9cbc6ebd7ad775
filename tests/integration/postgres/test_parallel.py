"""Several sessions find what one session finds, bit by bit, whatever is changed meanwhile."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from cn_ops.errors import OpsError
from cn_ops.postgres import contents, parallel
from cn_ops.postgres.fingerprint import begin, take
from cn_ops.postgres.snapshot import snapshot
from cn_ops.stack.embedded import EmbeddedStack
from tests.support.servers import filled

TABLES = """
CREATE TABLE large AS SELECT n, repeat(n::text, 40) AS text, n::float8 / 7 AS share
FROM generate_series(1, 20000) AS n;
UPDATE large SET n = -n WHERE n % 3 = 0;
DELETE FROM large WHERE n % 5 = 0;
CREATE TABLE twice AS TABLE large; INSERT INTO twice TABLE large;
CREATE TABLE empty (n int);
CREATE TABLE parts (n int) PARTITION BY RANGE (n);
CREATE TABLE low PARTITION OF parts FOR VALUES FROM (0) TO (10); INSERT INTO parts VALUES (1), (1), (2);
CREATE TABLE "odd "" name" ("select" int); INSERT INTO "odd "" name" VALUES (1);
SELECT lo_from_bytea(0, 'content');
"""


@pytest.fixture
def database(database_url: str) -> str:
    return filled(database_url, TABLES)


@pytest.mark.parametrize("blocks", [1, 7, 64, 100_000])
def test_parts_add_up_to_the_whole(
    blocks: int, server: EmbeddedStack, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = take(server, database, jobs=1)
    monkeypatch.setattr(parallel, "PART_BLOCKS", blocks)
    monkeypatch.setattr(parallel, "BLOCKS_PER_SESSION", 1)
    together = take(server, database, jobs=4)
    assert together == alone


def test_sessions_see_the_snapshot_and_not_what_came_later(
    server: EmbeddedStack, database: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "PART_BLOCKS", 3)
    monkeypatch.setattr(parallel, "BLOCKS_PER_SESSION", 1)
    before = take(server, database, jobs=1)
    with snapshot(server, database) as view, begin(view, 4) as reading:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("UPDATE large SET n = 0; INSERT INTO empty VALUES (1); DELETE FROM twice")
        reading.read_contents(lambda _: None)
    assert reading.tables == before.tables


def test_session_that_is_lost_ends_all_of_them_and_is_told(
    server: EmbeddedStack, database: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "BLOCKS_PER_SESSION", 1)
    whole = contents.row_sums
    lost: list[int] = []

    def losing(connection: psycopg.Connection, table: contents.Table, part: contents.Blocks | None) -> object:
        if not lost:
            lost.append(connection.info.backend_pid)
            with psycopg.connect(database_url, autocommit=True) as another:
                another.execute(sql.SQL("SELECT pg_terminate_backend({})").format(lost[0]))
        return whole(connection, table, part)

    monkeypatch.setattr(contents, "row_sums", losing)
    with pytest.raises(OpsError, match=r"connection|terminat") as failed:
        take(server, database, jobs=4)
    assert failed.value.hint
    with psycopg.connect(database_url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
    assert row == (0,)
