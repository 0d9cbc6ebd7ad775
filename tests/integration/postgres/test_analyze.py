"""After a restore the planner knows every table, however many sessions looked at them."""

from __future__ import annotations

import psycopg
import pytest

from cn_ops.postgres import analyze
from cn_ops.postgres.session import session
from cn_ops.stack.embedded import EmbeddedStack

TABLES = """
CREATE TABLE large AS SELECT n, n % 7 AS m FROM generate_series(1, 5000) AS n;
CREATE TABLE "odd "" name" AS SELECT n FROM generate_series(1, 10) AS n;
CREATE TABLE parts (n int) PARTITION BY RANGE (n);
CREATE TABLE low PARTITION OF parts FOR VALUES FROM (0) TO (100); INSERT INTO parts SELECT generate_series(1, 50);
CREATE MATERIALIZED VIEW seen AS TABLE large;
"""
KNOWN = "SELECT DISTINCT tablename::text FROM pg_stats WHERE schemaname = 'public' ORDER BY 1"


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_table_is_analyzed(
    jobs: int, server: EmbeddedStack, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analyze, "BYTES_PER_SESSION", 1)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(TABLES.encode())
        row = connection.execute("SELECT current_database()").fetchone()
    assert row is not None
    with session(server, str(row[0])) as connection:
        analyze.analyze(connection, jobs)
        found = [name for (name,) in connection.execute(KNOWN)]
    assert found == ["large", "low", 'odd " name', "parts", "seen"]
