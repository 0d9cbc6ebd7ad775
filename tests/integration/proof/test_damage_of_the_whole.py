"""Damage to what belongs to no schema: the database itself, its roles, large objects and extensions."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from cn_ops.differences import compare
from cn_ops.fingerprint import Fingerprint
from cn_ops.postgres.fingerprint import take
from tests.integration.proof.conftest import NewSite, Site

SETUP = """
ALTER DATABASE "@prefix@" OWNER TO @owner@;
ALTER DATABASE "@prefix@" CONNECTION LIMIT 50;
ALTER DATABASE "@prefix@" SET work_mem = '4MB';
ALTER ROLE @reader@ IN DATABASE "@prefix@" SET statement_timeout = '5min';
COMMENT ON DATABASE "@prefix@" IS 'a comment';
GRANT CONNECT, TEMPORARY ON DATABASE "@prefix@" TO @reader@;
ALTER ROLE @reader@ LOGIN CONNECTION LIMIT 5 VALID UNTIL '2030-01-01';
GRANT @group@ TO @reader@;
CREATE SCHEMA s;
CREATE TABLE s.t (id int);
GRANT SELECT ON s.t TO @reader@, @group@;
SELECT lo_from_bytea(1, '\\x00ff'), lo_from_bytea(2, ''), lo_from_bytea(3, decode(repeat('ab', 5000), 'hex'));
GRANT SELECT ON LARGE OBJECT 1 TO @reader@;
COMMENT ON LARGE OBJECT 1 IS 'one';
CREATE EXTENSION citext SCHEMA s;
CREATE EXTENSION hstore SCHEMA s VERSION '1.7';
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO @reader@;
"""
DATABASE = 'ALTER DATABASE "@prefix@"'


@dataclass(frozen=True)
class Damage:
    """What is done, and what the difference must be called."""

    statement: str
    named: str
    since: int = 0


DAMAGES = {
    "the database's owner": Damage(f"{DATABASE} OWNER TO @group@", "database owner"),
    "its connection limit": Damage(f"{DATABASE} CONNECTION LIMIT 51", "database connection limit"),
    "one of its settings": Damage(f"{DATABASE} SET work_mem = '5MB'", "database settings"),
    "a setting more": Damage(f"{DATABASE} SET app.motto = 'x'", "database settings"),
    "a setting of a role in it": Damage(
        "ALTER ROLE @reader@ IN DATABASE \"@prefix@\" SET statement_timeout = '6min'", "database settings"
    ),
    "no setting any more": Damage(f"{DATABASE} RESET ALL", "database settings"),
    "its comment": Damage('COMMENT ON DATABASE "@prefix@" IS \'another\'', "database comment"),
    "an empty comment": Damage('COMMENT ON DATABASE "@prefix@" IS NULL', "database comment"),
    "a privilege on it": Damage('GRANT CREATE ON DATABASE "@prefix@" TO @reader@', "database privileges"),
    "a privilege revoked": Damage('REVOKE TEMPORARY ON DATABASE "@prefix@" FROM @reader@', "database privileges"),
    "everybody kept out": Damage('REVOKE ALL ON DATABASE "@prefix@" FROM PUBLIC', "database privileges"),
    "a role that may not log in": Damage("ALTER ROLE @reader@ NOLOGIN", "role @reader@"),
    "a role that may do everything": Damage("ALTER ROLE @reader@ SUPERUSER", "role @reader@"),
    "a role that may make databases": Damage("ALTER ROLE @reader@ CREATEDB", "role @reader@"),
    "a role that may make roles": Damage("ALTER ROLE @reader@ CREATEROLE", "role @reader@"),
    "a role that may replicate": Damage("ALTER ROLE @reader@ REPLICATION", "role @reader@"),
    "a role that sees every row": Damage("ALTER ROLE @reader@ BYPASSRLS", "role @reader@"),
    "a role's limit": Damage("ALTER ROLE @reader@ CONNECTION LIMIT 6", "role @reader@"),
    "a role's end": Damage("ALTER ROLE @reader@ VALID UNTIL '2031-01-01'", "role @reader@"),
    "a role's setting": Damage("ALTER ROLE @reader@ SET work_mem = '6MB'", "role @reader@"),
    "a membership with an option": Damage("GRANT @group@ TO @reader@ WITH ADMIN OPTION", "role @reader@"),
    "a membership that gives nothing": Damage(
        "GRANT @group@ TO @reader@ WITH INHERIT FALSE, SET FALSE", "role @reader@", 16
    ),
    "a membership gone": Damage("REVOKE @group@ FROM @reader@", "role @reader@"),
    "a membership more": Damage("GRANT @owner@ TO @reader@", "role @reader@"),
    "a role that does not inherit": Damage("ALTER ROLE @reader@ NOINHERIT", "role @reader@"),
    "a large object's byte": Damage("SELECT lo_put(1, 0, '\\x01')", "large objects"),
    "a large object longer by a zero": Damage("SELECT lo_put(2, 0, '\\x00')", "large objects"),
    "a large object cut": Damage("SELECT lo_truncate(lo_open(3, 131072), 4999)", "large objects"),
    "contents of two swapped": Damage(
        "WITH c AS (SELECT lo_get(1) AS one, lo_get(2) AS two) SELECT lo_unlink(1), lo_unlink(2),"
        " lo_from_bytea(1, two), lo_from_bytea(2, one) FROM c",
        "large objects",
    ),
    "a large object's owner": Damage("ALTER LARGE OBJECT 3 OWNER TO @owner@", "large objects' owners"),
    "a large object's privilege": Damage("GRANT UPDATE ON LARGE OBJECT 3 TO @reader@", "large objects' owners"),
    "a large object's comment": Damage("COMMENT ON LARGE OBJECT 3 IS 'two'", "large objects' owners"),
    "a large object under another number": Damage(
        "SELECT lo_from_bytea(4, lo_get(3)), lo_unlink(3)", "large objects"
    ),
    "a large object gone": Damage("SELECT lo_unlink(4)", "large objects"),
    "a large object more": Damage("SELECT lo_from_bytea(5, 'x')", "large objects"),
    "an extension's version": Damage("ALTER EXTENSION hstore UPDATE", "extension hstore"),
    "an extension elsewhere": Damage("ALTER EXTENSION citext SET SCHEMA public", "extension citext"),
    "an extension gone": Damage("DROP EXTENSION citext", "extension citext"),
    "an extension more": Damage("CREATE EXTENSION citext", "extension citext"),
    "an object taken out of an extension": Damage(
        "ALTER EXTENSION hstore DROP FUNCTION s.hstore_version_diag(s.hstore)", r"FUNCTION s\.hstore_version_diag"
    ),
    "default privileges everywhere": Damage(
        "ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM @reader@", "DEFAULT ACL"
    ),
    "a language for nobody": Damage("REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC", "ACL LANGUAGE plpgsql"),
    "a catalogue for nobody": Damage(
        "REVOKE SELECT ON pg_catalog.pg_proc FROM PUBLIC", "ACL pg_catalog.TABLE pg_proc"
    ),
    "a schema more": Damage("CREATE SCHEMA stranger", "SCHEMA stranger"),
    "a schema gone": Damage("DROP SCHEMA stranger", "SCHEMA stranger"),
    "the public schema's owner": Damage("ALTER SCHEMA public OWNER TO @owner@", "(owner of )?SCHEMA public"),
    "a privilege on the public schema": Damage("GRANT CREATE ON SCHEMA public TO PUBLIC", "ACL SCHEMA public"),
}  # fmt: skip


@dataclass(frozen=True)
class Examined:
    """What the differences are called, for each damage in its turn."""

    site: Site
    major: int
    named: dict[str, list[str]]


@pytest.fixture(scope="module")
def examined(new_site: NewSite, major: int) -> Examined:
    site = new_site()
    site.sql(SETUP)
    named = {}
    before: Fingerprint = take(site.stack, site.database)
    for title, one in DAMAGES.items():
        if one.since > major:
            continue
        site.sql(one.statement)
        after = take(site.stack, site.database)
        named[title] = [difference.what for difference in compare(before, after).differences]
        before = after
    return Examined(site, major, named)


@pytest.mark.parametrize("title", DAMAGES)
def test_damage_to_the_whole_is_noticed_and_named(title: str, examined: Examined) -> None:
    if DAMAGES[title].since > examined.major:
        pytest.skip(f"PostgreSQL has it since {DAMAGES[title].since}")
    pattern = re.compile(examined.site.filled_in(DAMAGES[title].named))
    assert [name for name in examined.named[title] if pattern.match(name)]
