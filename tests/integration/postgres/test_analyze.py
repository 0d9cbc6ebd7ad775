"""After a restore the planner knows every table, however many sessions looked at them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from cn_ops.errors import OpsError
from cn_ops.postgres import analyze
from cn_ops.postgres.session import session
from cn_ops.stack.embedded import EmbeddedStack
from tests.support.processes import wait_until
from tests.support.servers import filled

TABLES = """
CREATE TABLE large AS SELECT n, n % 7 AS m FROM generate_series(1, 5000) AS n;
CREATE TABLE "odd "" name" AS SELECT n FROM generate_series(1, 10) AS n;
CREATE TABLE parts (n int) PARTITION BY RANGE (n);
CREATE TABLE low PARTITION OF parts FOR VALUES FROM (0) TO (100); INSERT INTO parts SELECT generate_series(1, 50);
CREATE MATERIALIZED VIEW seen AS TABLE large;
"""
NAMES = ["large", "low", 'odd " name', "parts", "seen"]
KNOWN = "SELECT DISTINCT tablename::text FROM pg_stats WHERE schemaname = 'public' ORDER BY 1"
# Analyzing it does that, in sessions that begin from now on.
HINDERED = """
CREATE FUNCTION hindered(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
  $$ BEGIN IF current_setting('cn.hindered', true) = 'on' THEN {}; END IF; RETURN $1; END $$;
CREATE TABLE weak AS SELECT n FROM generate_series(1, 10) AS n; CREATE INDEX ON weak (hindered(n));
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET cn.hindered = ''on''', current_database()); END $$;
"""
AT_WORK = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND state = 'active' AND query = 'ANALYZE'
"""


ANY_AT_WORK = AT_WORK.replace("= 'ANALYZE'", "LIKE 'ANALYZE%'")


class Failed(Exception):
    """What the block fails with."""


def known(server: EmbeddedStack, database: str) -> list[str]:
    with session(server, database) as connection:
        return [name for (name,) in connection.execute(KNOWN.encode())]


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_table_is_analyzed(
    jobs: int, server: EmbeddedStack, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analyze, "BYTES_PER_SESSION", 1)
    database = filled(database_url, TABLES)
    analyze.analyze(server, database, jobs)
    assert known(server, database) == NAMES


def test_every_table_is_analyzed_when_the_block_is_left(server: EmbeddedStack, database_url: str) -> None:
    database = filled(database_url, TABLES)
    problems: list[str] = []
    with analyze.analyzing(server, database, problems):
        pass
    assert problems == []
    assert known(server, database) == NAMES


@pytest.mark.parametrize("jobs", [1, 3])
def test_table_that_cannot_be_analyzed_is_told_and_all_others_are(
    jobs: int, server: EmbeddedStack, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analyze, "BYTES_PER_SESSION", 1)
    database = filled(database_url, HINDERED.format("RAISE 'it is weak'") + TABLES)
    assert analyze.analyze(server, database, jobs) == ["public.weak: it is weak"]
    assert known(server, database) == NAMES


def test_table_that_cannot_be_analyzed_meanwhile_is_told(server: EmbeddedStack, database_url: str) -> None:
    database = filled(database_url, HINDERED.format("RAISE 'it is weak'") + TABLES)
    problems: list[str] = []
    with analyze.analyzing(server, database, problems):
        pass
    assert problems == ["public.weak: it is weak"]
    assert known(server, database) == NAMES


def test_a_lost_session_fails_the_block(server: EmbeddedStack, database_url: str) -> None:
    database = filled(database_url, HINDERED.format("PERFORM pg_terminate_backend(pg_backend_pid())"))
    with pytest.raises(OpsError), analyze.analyzing(server, database, []):
        pass


def test_a_failed_block_ends_the_analyze(server: EmbeddedStack, database_url: str) -> None:
    database = filled(database_url, HINDERED.format("PERFORM pg_sleep(60)"))
    with psycopg.connect(database_url, autocommit=True) as watch:

        def at_work() -> int:
            row = watch.execute(AT_WORK.encode()).fetchone()
            assert row is not None
            return int(row[0])

        def failing() -> None:
            with analyze.analyzing(server, database, []):
                wait_until(lambda: at_work() == 1)
                raise Failed

        with pytest.raises(Failed):
            failing()
        assert at_work() == 0


def test_one_failure_ends_every_session(
    server: EmbeddedStack, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analyze, "BYTES_PER_SESSION", 1)
    database = filled(database_url, HINDERED.format("PERFORM pg_sleep(60)"))
    with psycopg.connect(database_url, autocommit=True) as watch, ThreadPoolExecutor(1) as pool:

        def at_work() -> list[tuple[int, str]]:
            return watch.execute(ANY_AT_WORK.replace("count(*)", "pid, query").encode()).fetchall()

        running = pool.submit(analyze.analyze, server, database, 3)
        wait_until(lambda: any("weak" in query for _, query in at_work()))
        (hindered,) = (pid for pid, query in at_work() if "weak" in query)
        watch.execute("SELECT pg_terminate_backend(%s)", (hindered,))
        with pytest.raises(OpsError):
            running.result()
        assert at_work() == []
