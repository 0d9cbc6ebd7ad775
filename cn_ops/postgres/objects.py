"""The schema as objects: what `pg_dump --schema-only` writes, split by object and made comparable."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from itertools import chain, pairwise
from pathlib import Path
from sys import intern
from typing import Any

import psycopg

from cn_ops.fingerprint import Extension, Membership, Role, SchemaObject, SilencedConstraint
from cn_ops.masking import mask_patterns
from cn_ops.postgres.archive import contents
from cn_ops.postgres.dump import tool_version
from cn_ops.postgres.locks import dumping
from cn_ops.postgres.session import dbname, server_settings
from cn_ops.postgres.snapshot import Snapshot
from cn_ops.stack import Server

PREAMBLE = "PREAMBLE"
# What every fresh database has, and of which no dump says that it was dropped.
FRESH_EXTENSION = "plpgsql"
NO_PUBLIC_SCHEMA = SchemaObject("SCHEMA", "", "public", "", "DROP SCHEMA public;")
# These may hold passwords in their options.
SECRET_TYPES = frozenset(("SERVER", "USER MAPPING", "SUBSCRIPTION"))

# In these the session's defaults count, which pg_dump sets between objects.
PLACED_TYPES = frozenset(("TABLE", "INDEX", "CONSTRAINT", "MATERIALIZED VIEW"))
DEFAULT_PLACE = {"default_tablespace": "''", "default_table_access_method": "heap"}

_HEADER = re.compile(r"^--\n-- Name: (.*); Type: (.*); Schema: (.*); Owner: ?(.*)\n--\n", re.MULTILINE)
_MADE_BY = re.compile(r"^-- Dumped by pg_dump version (\S+)", re.MULTILINE)
_TAIL = "--\n-- PostgreSQL database dump complete\n--\n"
# A session's random token and versions frame the dump and belong to no object.
_NOISE = re.compile(r"^(\\restrict .*|-- (Dumped|Started) .*|-- PostgreSQL database dump|--)\n", re.MULTILINE)
# A quoted name may hold anything, line breaks too; a text or a body in which such a line stands ends in a quote.
_WORDS = r"""(?:[^\n";'$]|"(?:[^"]|"")*")+"""
_OWNER = re.compile(rf"^ALTER {_WORDS} OWNER TO {_WORDS};\s*\Z", re.MULTILINE)
_PLACE = re.compile(rf"^SET (default_tablespace|default_table_access_method) = (''|{_WORDS});\s*\Z", re.MULTILINE)

_EXTENSIONS = """
SELECT e.extname, e.extversion, n.nspname, pg_catalog.pg_get_userbyid(e.extowner) FROM pg_catalog.pg_extension AS e
JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace ORDER BY 1
"""
# Owners, and whoever a privilege, a policy, a default privilege or a setting of this database names.
_ROLES = """
SELECT r.rolname, ARRAY(SELECT word FROM (VALUES
         (r.rolsuper, 'SUPERUSER'), (NOT r.rolinherit, 'NOINHERIT'), (r.rolcreaterole, 'CREATEROLE'),
         (r.rolcreatedb, 'CREATEDB'), (r.rolcanlogin, 'LOGIN'), (r.rolreplication, 'REPLICATION'),
         (r.rolbypassrls, 'BYPASSRLS'), (r.rolconnlimit <> -1, 'CONNECTION LIMIT ' || r.rolconnlimit),
         (r.rolvaliduntil IS NOT NULL, 'VALID UNTIL ' || r.rolvaliduntil)) AS a (holds, word) WHERE holds),
       (SELECT coalesce(jsonb_agg(DISTINCT jsonb_build_array(g.rolname, to_jsonb(m))), '[]')
        FROM pg_catalog.pg_auth_members AS m JOIN pg_catalog.pg_roles AS g ON g.oid = m.roleid
        WHERE m.member = r.oid),
       coalesce((SELECT s.setconfig FROM pg_catalog.pg_db_role_setting AS s
                 WHERE s.setrole = r.oid AND s.setdatabase = 0), '{}')
FROM pg_catalog.pg_roles AS r
WHERE r.rolname !~ '^pg_' AND r.oid IN (
  SELECT d.refobjid FROM pg_catalog.pg_shdepend AS d
  WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND (
    d.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
    OR (d.classid = 'pg_catalog.pg_database'::pg_catalog.regclass
        AND d.objid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())))
  UNION SELECT datdba FROM pg_catalog.pg_database WHERE datname = current_database()
  UNION SELECT s.setrole FROM pg_catalog.pg_db_role_setting AS s
        JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase WHERE d.datname = current_database())
ORDER BY 1
"""
_SILENCED = """
SELECT DISTINCT c.oid::pg_catalog.regclass::text, k.conname FROM pg_catalog.pg_trigger AS t
JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid JOIN pg_catalog.pg_constraint AS k ON k.oid = t.tgconstraint
WHERE t.tgisinternal AND t.tgenabled <> 'O' ORDER BY 1, 2
"""


def schema_objects(server: Server, database: str, view: Snapshot) -> tuple[SchemaObject, ...]:
    """Return every object of a database's schema, as the server's own pg_dump writes it; raises ``TablesInUse``."""
    return dumped_schema(server, database, view)[0]


def dumped_schema(server: Server, database: str, view: Snapshot) -> tuple[tuple[SchemaObject, ...], str]:
    """Return the same, and the version of the pg_dump that wrote it."""
    target = dbname(database, server_settings(server, database))
    argv = ["pg_dump", "--schema-only", *view.dump_flags, f"--dbname={target}"]
    with dumping():
        text = server.tool(argv).stdout
    version = _MADE_BY.search(text)
    return split_schema(text), version[1] if version else tool_version(server)


def archive_objects(server: Server, dump: Path) -> tuple[SchemaObject, ...]:
    """Return every object of the schema in a dump."""
    with contents(server, dump) as (arguments, stream):
        return split_schema(server.tool(["pg_restore", "--schema-only", "--file=-", *arguments], stdin=stream).stdout)


def split_schema(text: str) -> tuple[SchemaObject, ...]:
    """Split a schema-only dump into its objects, sorted; every statement ends up in one of them.

    A body that looks like a header of pg_dump's only splits its object in two: nothing is lost.
    """
    end = text.rfind(_TAIL)
    text = text[:end] if end >= 0 else text
    first = _HEADER.search(text)
    preamble, place = _without_place(text[: first.start()] if first else text, DEFAULT_PLACE)
    objects = [SchemaObject(PREAMBLE, "", "", "", _NOISE.sub("", preamble).strip())]
    end_of_all = re.compile(r"\Z").finditer(text)
    for header, following in pairwise(chain(_HEADER.finditer(text), end_of_all)):
        # One text for what thousands of objects have in common.
        name, kind, schema, owner = ("" if part == "-" else intern(part) for part in header.groups())
        body, next_place = _without_place(text[header.end() : following.start()], place)
        objects.append(SchemaObject(kind, schema, name, owner, _statements(kind, body, place)))
        place = next_place
    objects.sort()
    return tuple(objects)


def extensions(connection: psycopg.Connection) -> tuple[Extension, ...]:
    """Return the installed extensions."""
    return tuple(Extension(*row) for row in connection.execute(_EXTENSIONS))


def dropped_schemas(connection: psycopg.Connection) -> tuple[SchemaObject, ...]:
    """Return what the schema of a database that has no schema `public` lacks in its dump."""
    there = connection.execute("SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'public'")
    return () if there.rowcount else (NO_PUBLIC_SCHEMA,)


def roles(connection: psycopg.Connection) -> tuple[Role, ...]:
    """Return the roles that this database refers to, without their passwords."""
    return tuple(
        Role(name, tuple(words), _memberships(groups, words), tuple(settings))
        for name, words, groups, settings in connection.execute(_ROLES).fetchall()
    )


def silenced(connection: psycopg.Connection) -> tuple[SilencedConstraint, ...]:
    """Return the keys that do not hold, since their own triggers have been disabled."""
    return tuple(SilencedConstraint(*row) for row in connection.execute(_SILENCED))


def _memberships(groups: Sequence[tuple[str, Mapping[str, Any]]], member: Sequence[str]) -> tuple[Membership, ...]:
    # Two may have granted the same.
    return tuple(sorted({_membership(role, row, member) for role, row in groups}))


def _membership(role: str, row: Mapping[str, Any], member: Sequence[str]) -> Membership:
    inherits = "NOINHERIT" not in member  # what a membership does unless it says otherwise
    words = (
        (row["admin_option"], "ADMIN OPTION"),
        # These two columns came with PostgreSQL 16.
        (row.get("inherit_option", inherits) != inherits, f"INHERIT {not inherits}".upper()),
        (not row.get("set_option", True), "SET FALSE"),
    )
    return Membership(role, tuple(word for holds, word in words if holds))


def _without_place(text: str, place: dict[str, str]) -> tuple[str, dict[str, str]]:
    """Take the session's defaults off the end of a block: they are said for the objects that follow."""
    place = dict(place)
    while found := _PLACE.search(text):
        place[found[1]] = found[2]
        text = text[: found.start()]
    return text, place


def _statements(kind: str, text: str, place: dict[str, str]) -> str:
    text = _OWNER.sub("", text).strip()
    masked = mask_patterns(text)
    if masked != text or kind in SECRET_TYPES:
        # The hash still tells one password from another.
        text = f"{masked}\n-- sha256: {hashlib.sha256(text.encode()).hexdigest()}"
    if kind in PLACED_TYPES and place != DEFAULT_PLACE:
        return "\n".join([*(f"-- {name} = {value}" for name, value in sorted(place.items())), text])
    return text
