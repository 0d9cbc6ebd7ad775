"""Databases that are in order and odd come back, and are proven, with no false alarm; what is lost is noticed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cn_ops.errors import VerificationFailed
from cn_ops.fingerprint import Comparison, Stripped
from cn_ops.manifest import read_fingerprint
from cn_ops.phases import Phases, Silent
from cn_ops.postgres.control_list import CONTROLS
from cn_ops.postgres.controls import damage
from cn_ops.postgres.fingerprint import take
from cn_ops.postgres.session import session
from cn_ops.proof import Subject, prove
from cn_ops.source import find_source
from cn_ops.stack.embedded import EmbeddedStack
from cn_ops.verify import verify
from tests.integration.proof.conftest import NewSite, Site
from tests.support.operations import back_up, bring_back, execute


def is_proven(site: Site) -> None:
    """Back a database up, prove that in a scratch server, and restore it beside."""
    is_proven_in_scratch(site)
    bring_back(site.node)


def is_proven_in_scratch(site: Site) -> None:
    back_up(site.node)
    settings = site.node.settings
    verify(site.stack, find_source(settings.backup, "latest", Path("/")), settings.restore, Phases(Silent()))


def compared(site: Site) -> Comparison:
    source = find_source(site.node.settings.backup, "latest", Path("/"))
    assert source.generation
    return prove(
        Subject(site.stack, site.database, read_fingerprint(source.generation.manifest_file), source.path), Stripped()
    )


@dataclass(frozen=True)
class Odd:
    """SQL that makes a database odd; ``since`` is the first major version that can be."""

    sql: str
    since: int = 0
    settings: Mapping[str, object] = field(default_factory=dict)


ODD = {
    # pg_restore makes event triggers before it fills materialised views. Older servers cannot keep them quiet.
    "an event trigger that writes rows": Odd(
        """
        CREATE TABLE public.ddl_log (tag text);
        CREATE FUNCTION public.log_ddl() RETURNS event_trigger LANGUAGE plpgsql
          AS $$ BEGIN INSERT INTO public.ddl_log VALUES (tg_tag); END $$;
        CREATE MATERIALIZED VIEW public.mv AS SELECT 1 AS x;
        CREATE EVENT TRIGGER audit ON ddl_command_end EXECUTE FUNCTION public.log_ddl()
        """,
        since=17,
    ),
    "an heir whose parent got a column later": Odd(
        """
        CREATE TABLE public.animals (name text);
        CREATE TABLE public.dogs (tricks int) INHERITS (public.animals);
        INSERT INTO public.dogs VALUES ('rex', 3);
        ALTER TABLE public.animals ADD COLUMN born date
        """
    ),
    "partitions by the hash of an enum": Odd(
        """
        CREATE TYPE public.mood AS ENUM ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h');
        CREATE TABLE public.moods (y int, m public.mood, n int) PARTITION BY RANGE (y);
        CREATE TABLE public.moods_1 PARTITION OF public.moods FOR VALUES FROM (1) TO (2) PARTITION BY HASH (m);
        CREATE TABLE public.moods_1_0 PARTITION OF public.moods_1 FOR VALUES WITH (MODULUS 3, REMAINDER 0);
        CREATE TABLE public.moods_1_1 (n int, y int, m public.mood);
        ALTER TABLE public.moods_1 ATTACH PARTITION public.moods_1_1 FOR VALUES WITH (MODULUS 3, REMAINDER 1);
        CREATE TABLE public.moods_1_2 PARTITION OF public.moods_1 FOR VALUES WITH (MODULUS 3, REMAINDER 2);
        INSERT INTO public.moods SELECT 1, (enum_range(NULL::public.mood))[1 + i % 8], i
          FROM generate_series(1, 80) AS i
        """
    ),
    "a time zone that a default is written in": Odd(
        """
        CREATE TABLE public.tz (k varchar(9) CHECK (k IN ('a', 'b')), at timestamptz DEFAULT '2020-01-01 00:00+00');
        ALTER DATABASE "@prefix@" SET timezone = 'Asia/Tokyo'
        """
    ),
    "NULL in an array as a word": Odd(
        """
        CREATE TABLE public.arrays AS SELECT ARRAY[1, NULL] AS a;
        ALTER DATABASE "@prefix@" SET array_nulls = off
        """
    ),
    "sessions that may not be idle": Odd(
        """
        CREATE SEQUENCE public.counts;
        CREATE TABLE public.large AS SELECT n, repeat('x', 200) AS t FROM generate_series(1, 200000) AS n;
        ALTER DATABASE "@prefix@" SET idle_session_timeout = '100ms'
        """
    ),
    "transactions that may not last": Odd(
        """
        CREATE TABLE public.large AS SELECT n, repeat('x', 200) AS t FROM generate_series(1, 200000) AS n;
        ALTER DATABASE "@prefix@" SET transaction_timeout = '100ms'
        """,
        since=17,
    ),
    "no schema public and no plpgsql": Odd(
        "DROP SCHEMA public CASCADE; DROP EXTENSION plpgsql; CREATE SCHEMA app; CREATE TABLE app.t AS SELECT 7 AS n",
        settings={"drill": {"count_table": "app.t"}},
    ),
    "plpgsql made anew": Odd("DROP EXTENSION plpgsql; CREATE EXTENSION plpgsql"),
    "sessions in an encoding without its letters": Odd(
        """
        CREATE TABLE public."日本" AS SELECT 'こんにちは'::text AS "語", 'x'::varchar(9) AS k;
        ALTER TABLE public."日本" ADD CHECK (k IN ('x', 'ぬ'));
        ALTER DATABASE "@prefix@" SET client_encoding = 'LATIN1'
        """
    ),
    "sessions of a lesser role": Odd(
        """
        CREATE EXTENSION hstore; GRANT CREATE, USAGE ON SCHEMA public TO "@owner@";
        GRANT pg_read_all_data TO "@owner@"; ALTER DATABASE "@prefix@" SET role = '@owner@'
        """
    ),
    "a table that ANALYZE fails for": Odd(
        """
        CREATE TABLE public.fractions AS SELECT 1 AS n; CREATE STATISTICS public.st ON (1 / n) FROM public.fractions;
        INSERT INTO public.fractions VALUES (0)
        """
    ),
    "a schema public made anew": Odd(
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE public.counted AS SELECT 7 AS n"
    ),
    "a privilege that two have granted": Odd(
        """
        GRANT CONNECT ON DATABASE "@prefix@" TO "@owner@" WITH GRANT OPTION;
        SET ROLE "@owner@"; GRANT CONNECT ON DATABASE "@prefix@" TO "@reader@";
        RESET ROLE; GRANT CONNECT ON DATABASE "@prefix@" TO "@reader@"
        """
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_database_is_proven_and_comes_back(name: str, new_site: NewSite, major: int) -> None:
    odd = ODD[name]
    if major < odd.since:
        pytest.skip(f"PostgreSQL {odd.since} brought it")
    site = new_site(**odd.settings)
    site.sql(odd.sql)
    is_proven(site)


def test_rows_dealt_out_anew_are_still_seen(new_site: NewSite) -> None:
    site = new_site()
    site.sql(ODD["partitions by the hash of an enum"].sql)
    back_up(site.node)
    site.sql("UPDATE public.moods SET n = n + 1 WHERE n = 7")
    (difference,) = compared(site).differences
    assert difference.what == "table public.moods_1"


def test_schema_public_that_comes_or_goes_is_seen(new_site: NewSite) -> None:
    site = new_site(drill={"count_table": "app.t"})
    site.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA app; CREATE TABLE app.t AS SELECT 7 AS n")
    back_up(site.node)
    assert compared(site).equal
    site.sql("CREATE SCHEMA public AUTHORIZATION pg_database_owner")
    assert "SCHEMA public" in [one.what for one in compared(site).differences]
    back_up(site.node)
    site.sql("DROP SCHEMA public")
    assert "SCHEMA public" in [one.what for one in compared(site).differences]


def test_granting_what_is_granted_anyway_is_no_difference(new_site: NewSite) -> None:
    site = new_site()
    back_up(site.node)
    site.sql('GRANT CREATE ON DATABASE "@prefix@" TO "@owner@"; REVOKE CREATE ON DATABASE "@prefix@" FROM "@owner@"')
    assert compared(site).equal
    site.sql('REVOKE CONNECT ON DATABASE "@prefix@" FROM PUBLIC')
    assert not compared(site).equal


def test_change_of_a_letter_is_seen_in_every_encoding(new_site: NewSite, any_server: EmbeddedStack) -> None:
    site = new_site()
    execute(any_server, "DROP DATABASE {}", site.database)
    execute(any_server, "CREATE DATABASE {} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'", site.database)
    site.sql("CREATE TABLE public.counted (n int); CREATE VIEW public.v AS SELECT 'é'::text AS x")
    is_proven(site)
    site.sql("CREATE OR REPLACE VIEW public.v AS SELECT 'è'::text AS x")
    assert [one.what for one in compared(site).differences] == ["VIEW public.v"]


def test_owners_of_two_operators_of_a_name_are_told_apart(new_site: NewSite) -> None:
    site = new_site()
    for kind in ("int4", "text"):
        site.sql(f"CREATE OPERATOR public.=== (LEFTARG = {kind}, RIGHTARG = {kind}, FUNCTION = {kind}eq)")
    site.sql('ALTER OPERATOR public.=== (int4, int4) OWNER TO "@owner@"')
    site.sql('ALTER OPERATOR public.=== (text, text) OWNER TO "@reader@"')
    back_up(site.node)
    assert compared(site).equal
    site.sql('ALTER OPERATOR public.=== (int4, int4) OWNER TO "@reader@"')
    site.sql('ALTER OPERATOR public.=== (text, text) OWNER TO "@owner@"')
    assert [one.what for one in compared(site).differences] == ["owner of OPERATOR public.==="]


def test_roles_without_globals_have_their_settings_and_memberships(new_site: NewSite) -> None:
    site = new_site(backup={"globals": False})
    site.sql('CREATE TABLE public.owned (n int); ALTER TABLE public.owned OWNER TO "@owner@"')
    site.sql('ALTER ROLE "@owner@" SET work_mem = \'9MB\'; ALTER ROLE "@owner@" SET search_path = a, "b c"')
    site.sql('ALTER ROLE "@reader@" IN DATABASE "@prefix@" SET work_mem = \'8MB\'')  # it owns nothing
    site.sql('GRANT "@group@" TO "@owner@" WITH ADMIN OPTION; GRANT "@owner@" TO "@reader@"')
    is_proven(site)


def test_roles_that_another_superuser_has_granted_and_a_tablespace(new_site: NewSite) -> None:
    site = new_site()
    site.sql('ALTER ROLE "@owner@" SUPERUSER LOGIN; GRANT "@group@" TO "@reader@" GRANTED BY CURRENT_USER')
    folder = site.stack._layout.cluster / f"the space of {site.name}"
    folder.mkdir()
    site.stack._layout.give(folder)
    site.sql(f"CREATE TABLESPACE \"@prefix@ space\" LOCATION '{folder}'")
    site.sql('CREATE TABLE public.placed TABLESPACE "@prefix@ space" AS SELECT 1 AS n')
    site.node.change({"stack": {"postgres": {"user": site.role("owner")}}})
    is_proven_in_scratch(site)


def test_extension_s_condition_may_name_its_table(new_site: NewSite) -> None:
    site = new_site()
    site.sql(
        "CREATE EXTENSION hstore;"
        "CREATE TABLE public.settings AS SELECT n > 3 AS builtin FROM generate_series(1, 9) AS n;"
        "ALTER EXTENSION hstore ADD TABLE public.settings;"
        "UPDATE pg_extension SET extconfig = ARRAY['public.settings'::regclass::oid],"
        " extcondition = ARRAY['WHERE NOT settings.builtin'] WHERE extname = 'hstore'"
    )
    assert take(site.stack, site.database).rows_of("public.settings") == 3


def test_table_that_somebody_added_to_an_extension_is_not_proven(new_site: NewSite) -> None:
    """No dump holds it, and CREATE EXTENSION does not make it."""
    site = new_site()
    site.sql("CREATE EXTENSION hstore; CREATE TABLE public.kept AS SELECT 7 AS n")
    site.sql("ALTER EXTENSION hstore ADD TABLE public.kept")
    with pytest.raises(VerificationFailed) as failed:
        is_proven(site)
    assert (
        "table public.kept, a member of an extension that does not make it: expected 1 rows" in failed.value.evidence
    )


def test_control_that_would_change_nothing_is_not_tried(new_site: NewSite) -> None:
    site = new_site()
    site.sql(
        """
        ALTER TABLE public.counted ENABLE ROW LEVEL SECURITY; GRANT SELECT ON public.counted TO PUBLIC;
        CREATE MATERIALIZED VIEW public.m AS SELECT 1 AS x WITH NO DATA;
        CREATE SEQUENCE public.by_seven INCREMENT 7;
        CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql COST 77 AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER a AFTER INSERT ON public.counted FOR EACH ROW EXECUTE FUNCTION public.f();
        ALTER TABLE public.counted DISABLE TRIGGER a
        """
    )
    already = {
        "a materialised view emptied",
        "a trigger disabled",
        "row-level security switched on",
        "a privilege granted",
        "a sequence's step",
        "a function's cost",
    }
    with session(site.stack, site.database) as connection:
        tried = [one.name for one in CONTROLS if one.name in already and damage(connection, one)]
    assert tried == []
    site.sql("SELECT lo_from_bytea(0, 'CC')")
    back_up(site.node)
    with session(site.stack, site.database) as connection:
        (byte,) = (one for one in CONTROLS if one.name == "a large object's byte")
        assert damage(connection, byte)
    assert not compared(site).equal
