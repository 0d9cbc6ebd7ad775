"""Rows are hashed exactly, and alike whatever the database's own settings are."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from cn_ops.errors import OperationFailed
from cn_ops.fingerprint import TableContent
from cn_ops.postgres import contents, row_hash
from cn_ops.postgres.contents import Sums
from cn_ops.postgres.fingerprint import take
from cn_ops.postgres.row_hash import Column
from cn_ops.postgres.session import PINNED, sibling
from cn_ops.postgres.snapshot import snapshot
from tests.integration.proof.conftest import NewSite, Site
from tests.integration.proof.damages.base import Damage
from tests.integration.proof.damages.rows import VALUES
from tests.support.nodes import connected

MOST_COLUMNS = 1600
ROUNDS = 40  # enough rows for sums of hashes to go around their end


@pytest.fixture(scope="module")
def site(new_site: NewSite) -> Site:
    made = new_site()
    made.sql("CREATE EXTENSION citext; CREATE EXTENSION hstore")
    return made


def _content(table: contents.Table, sums: Sums) -> TableContent:
    return contents.content(table.counts_as, [table], sums)


def all_hashed(site: Site, schema: str = "") -> dict[str, TableContent]:
    with snapshot(site.stack, site.database) as view:
        contents.pin_text(view.connection)
        return {
            f"{table.schema}.{table.name}": _content(table, contents.row_sums(view.connection, table, None))
            for table in contents.tables(view.connection)
            if table.schema == schema or not schema
        }


def hashed(site: Site, name: str) -> TableContent:
    return all_hashed(site, name.partition(".")[0])[name]


@pytest.fixture(scope="module")
def values(site: Site) -> dict[str, Damage]:
    """Two tables for each damage to a value: as it was, and as it is."""
    for number, one in enumerate(VALUES):
        before, _, insert = one.before.partition("; INSERT")
        site.sql(f"CREATE SCHEMA v{number}; SET search_path = v{number}, public; {before}; INSERT{insert}")
        site.sql(
            f"SET search_path = v{number}, public; CREATE TABLE u AS TABLE t; {one.after.replace('t SET', 'u SET')}"
        )
    return {f"v{number}": one for number, one in enumerate(VALUES)}


def test_every_difference_of_values_is_seen(site: Site, values: dict[str, Damage]) -> None:
    found = all_hashed(site)
    assert [
        one.title for schema, one in values.items() if found[f"{schema}.t"].hash == found[f"{schema}.u"].hash
    ] == []


# Rows that are easily taken for each other; and numbers that the server's own hash of numbers does not tell apart.
CONFUSABLE = (
    "SELECT 'ab'::text AS a, 'c'::text AS b",
    "SELECT 'a'::text AS a, 'bc'::text AS b",
    "SELECT 'c'::text AS a, 'ab'::text AS b",
    "SELECT NULL::text AS a, ''::text AS b",
    "SELECT ''::text AS a, NULL::text AS b",
    "SELECT ''::text AS a, ''::text AS b",
    "SELECT NULL::text AS a, NULL::text AS b",
    "SELECT '-1'::bigint AS a, 0 AS b",
    "SELECT 4294967295::bigint AS a, 0 AS b",
    "SELECT '[[1], 2]'::jsonb AS a, 0 AS b",
    "SELECT '[[1, 2]]'::jsonb AS a, 0 AS b",
    "SELECT '[1.0]'::jsonb AS a, 0 AS b",
    "SELECT '[1.00]'::jsonb AS a, 0 AS b",
    "SELECT 'a '::bpchar AS a, 0 AS b",
    "SELECT 'a'::bpchar AS a, 0 AS b",
    "SELECT ROW(NULL, NULL)::pair AS a, 0 AS b",
    "SELECT NULL::pair AS a, 0 AS b",
    "SELECT",
)


def test_rows_that_are_easily_confused_are_not(site: Site) -> None:
    site.sql("CREATE SCHEMA c; SET search_path = c; CREATE TYPE c.pair AS (x int, y int)")
    try:
        for number, query in enumerate(CONFUSABLE):
            site.sql(f"SET search_path = c; CREATE TABLE t{number} AS {query}")
        assert len({one.hash for one in all_hashed(site, "c").values()}) == len(CONFUSABLE)
    finally:
        site.sql("DROP SCHEMA c CASCADE")


def test_values_that_change_places_are_seen(site: Site) -> None:
    """Of one column between two rows, and in wide tables of columns far from each other."""
    names = [f"c{number}" for number in range(MOST_COLUMNS)]
    columns = ", ".join(f"{name} int" for name in names)
    site.sql(f"CREATE SCHEMA w; CREATE TABLE w.t ({columns}); INSERT INTO w.t VALUES (1), (2), (3)")
    try:
        seen = set()
        for change in (
            "c0 = c0",
            "c1 = c0",
            "c1599 = 1",
            "c1599 = NULL, c1598 = 1",
            "c50 = CASE c0 WHEN 1 THEN 2 ELSE 1 END, c1598 = NULL",
            "c50 = CASE c0 WHEN 2 THEN 2 ELSE 1 END",
        ):
            site.sql(f"UPDATE w.t SET {change}")
            seen.add(hashed(site, "w.t").hash)
        assert len(seen) == 6
    finally:
        site.sql("DROP SCHEMA w CASCADE")


def test_server_that_hashes_otherwise_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one with the other byte order would."""
    monkeypatch.setattr(row_hash, "SAMPLE_HASH", 1)
    with pytest.raises(OperationFailed, match="otherwise") as refused:
        take(site.stack, site.database)
    assert "big-endian" in (refused.value.hint or "")


def test_tables_and_sequences_whose_names_hold_dots_are_never_taken_for_each_other(site: Site) -> None:
    site.sql('CREATE SCHEMA d; CREATE SCHEMA "d.e"; CREATE SCHEMA """d"')
    places = (
        ('d."e.t"', 'd."e.s"', 'd."e.m"'),
        ('"d.e".t', '"d.e".s', '"d.e".m'),
        ('"""d"."e.t"', '"""d"."e.s"', '"""d"."e.m"'),
    )
    for table, sequence, view_name in places:
        site.sql(f"CREATE TABLE {table} (n int); CREATE SEQUENCE {sequence}")
        site.sql(f"CREATE MATERIALIZED VIEW {view_name} AS SELECT 1")
    with snapshot(site.stack, site.database) as view:
        contents.pin_text(view.connection)
        found = contents.tables(view.connection)
        for names in (
            [one.counts_as for one in found if one.schema.strip('"')[0] == "d"],
            [one.name for one in contents.sequences(view.connection, view.connection)],
            [one.name for one in contents.materialized_views(view.connection)],
        ):
            assert len(set(names)) == len(places)


def test_neither_order_nor_dead_rows_matter_and_duplicates_do(site: Site) -> None:
    site.sql(
        "CREATE SCHEMA o; CREATE TABLE o.t AS SELECT n, n % 7 AS m FROM generate_series(1, 500) AS n;"
        "CREATE TABLE o.u (LIKE o.t); INSERT INTO o.u SELECT * FROM o.t ORDER BY n DESC; UPDATE o.u SET n = n;"
        "CREATE TABLE o.twice AS SELECT * FROM o.t UNION ALL SELECT * FROM o.t WHERE n = 1"
    )
    try:
        one, other, twice = (hashed(site, f"o.{name}") for name in ("t", "u", "twice"))
        assert (one.rows, one.hash) == (other.rows, other.hash)
        assert (twice.rows, twice.hash != one.hash) == (501, True)
        assert len(one.hash) == 32
    finally:
        site.sql("DROP SCHEMA o CASCADE")


def test_many_equal_rows_do_not_cancel_each_other_out(site: Site) -> None:
    """A sum of 2^64 equal hashes would be zero, and an exclusive or already that of two."""
    site.sql("CREATE SCHEMA e; CREATE TABLE e.t (v int); INSERT INTO e.t VALUES (1)")
    try:
        seen = set()
        for _ in range(ROUNDS):
            seen.add(hashed(site, "e.t").hash)
            site.sql("INSERT INTO e.t VALUES (1)")
        assert len(seen) == ROUNDS
    finally:
        site.sql("DROP SCHEMA e CASCADE")


@pytest.mark.parametrize(
    "setting",
    [
        "DateStyle = 'SQL, DMY'",
        "IntervalStyle = 'iso_8601'",
        "TimeZone = 'Asia/Tokyo'",
        "extra_float_digits = -5",
        "bytea_output = 'escape'",
        "search_path = kinds, public",
        "quote_all_identifiers = on",
        "lc_monetary = 'C.UTF-8'",
        "client_encoding = 'LATIN1'",
        "xmloption = 'document'",
        "standard_conforming_strings = off",
        "default_transaction_isolation = 'serializable'",
        "default_transaction_read_only = on",
        "default_transaction_deferrable = on",
        "statement_timeout = '1ms'",
        "enable_seqscan = off",
    ],
)
def test_setting_of_the_database_changes_no_hash(setting: str, site: Site, values: dict[str, Damage]) -> None:
    before = all_hashed(site)
    assert len(before) >= len(values)
    site.sql(f'ALTER DATABASE "@prefix@" SET {setting}', "postgres")
    try:
        assert all_hashed(site) == before
    finally:
        site.sql('ALTER DATABASE "@prefix@" RESET ALL', "postgres")


@pytest.mark.parametrize(
    "variable",
    [
        "PGTZ=America/New_York",
        "PGDATESTYLE=SQL, DMY",
        "PGCLIENTENCODING=SQL_ASCII",
        "PGGEQO=off",
        "PGOPTIONS=-c extra_float_digits=-5",
    ],
)
def test_environment_of_whoever_asks_changes_no_hash(
    variable: str, site: Site, values: dict[str, Damage], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = all_hashed(site)
    assert len(before) >= len(values)
    monkeypatch.setenv(*variable.split("=", 1))
    assert all_hashed(site) == before
    with (
        snapshot(site.stack, site.database) as view,
        sibling(view.connection) as another,
    ):
        for name in ("DateStyle", "TimeZone", "client_encoding", "extra_float_digits"):
            assert another.execute("SELECT current_setting(%s)", (name,)).fetchone() == (PINNED[name],)


def test_heap_is_read_and_not_an_index_that_says_otherwise(site: Site) -> None:
    """The index holds every column, so that the server could do without the table."""
    site.sql("CREATE SCHEMA i; CREATE TABLE i.t (n int PRIMARY KEY); INSERT INTO i.t SELECT generate_series(1, 3000)")
    site.sql("VACUUM ANALYZE i.t")
    try:
        with snapshot(site.stack, site.database) as view:
            with contents.scanning(view.connection):
                plan = view.connection.execute("EXPLAIN SELECT n FROM i.t WHERE n = 7").fetchall()
            after = view.connection.execute("EXPLAIN SELECT n FROM i.t WHERE n = 7").fetchall()
        assert "Seq Scan" in plan[0][0]
        assert "Index Only Scan" in after[0][0]
    finally:
        site.sql("DROP SCHEMA i CASCADE")


def test_column_of_any_type_of_the_servers_own_is_hashed(site: Site) -> None:
    """And an array of it; NULL in the first row, for few texts are a value of every type."""
    types = (
        "SELECT format_type(oid, NULL) FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace"
        " AND typtype IN ('b', 'r', 'm') AND typname !~ '^_?(pg_statistic|pg_node|gtsvector|pg_brin)' ORDER BY oid"
    )
    with connected(site.stack, site.database) as connection:
        names = [name for (name,) in connection.execute(types)]
    site.sql("CREATE SCHEMA k")
    made = []
    for number, name in enumerate(names):
        try:
            site.sql(f"CREATE TABLE k.t{number} (v {name}); INSERT INTO k.t{number} VALUES (NULL)")
        except psycopg.errors.InvalidTableDefinition:
            continue  # the server lets no column have it
        made.append(f"k.t{number}")
    try:
        found = all_hashed(site, "k")
        assert len(made) > 120
        assert {name: found[name].rows for name in made} == dict.fromkeys(made, 1)
    finally:
        site.sql("DROP SCHEMA k CASCADE")


def test_row_level_security_is_an_error_and_never_a_smaller_table(site: Site) -> None:
    site.sql(
        "CREATE SCHEMA r; CREATE TABLE r.t (n int); INSERT INTO r.t VALUES (1), (2);"
        "ALTER TABLE r.t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON r.t USING (n = 1);"
        "GRANT USAGE ON SCHEMA r TO @reader@; GRANT SELECT ON r.t TO @reader@"
    )
    try:
        with connected(site.stack, site.database) as connection:
            connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(site.role("reader"))))
            connection.execute("SET row_security = off")
            table = contents.Table("r", "t", "", (Column("n", "int4out"),), 1, True, False)
            with pytest.raises(Exception, match="row-level security"), connection.transaction():
                contents.row_sums(connection, table, None)
    finally:
        site.sql("DROP SCHEMA r CASCADE")
