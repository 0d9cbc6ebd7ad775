"""Making a database anew, with what belongs to the database itself."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

from cn_ops.model import DatabaseProperties, Privilege

# Values of these are lists of quoted names: they are set as lists (pg_dump's GUC_LIST_QUOTE).
LIST_SETTINGS = frozenset(
    (
        "local_preload_libraries",
        "search_path",
        "session_preload_libraries",
        "shared_preload_libraries",
        "temp_tablespaces",
        "unix_socket_directories",
    )
)


def create(connection: psycopg.Connection, database: str, wanted: DatabaseProperties) -> None:
    """Make an empty database with these properties, from template0."""
    connection.execute(creation(database, wanted, connection.info.server_version // 10_000))
    for statement in _alterations(database, wanted):
        connection.execute(statement)


def creation(database: str, wanted: DatabaseProperties, server_major: int) -> sql.Composed:
    """Return the statement that makes the database."""
    options: list[tuple[str, str | None]] = [
        ("ENCODING", wanted.encoding),
        ("LC_COLLATE", wanted.collate),
        ("LC_CTYPE", wanted.ctype),
    ]
    if server_major >= 15:  # always: without it, it would be the provider of template0
        options.append(("LOCALE_PROVIDER", wanted.locale_provider))
    if wanted.locale_provider != "libc":
        options.append(("ICU_LOCALE" if wanted.locale_provider == "icu" else "BUILTIN_LOCALE", wanted.locale))
        options.append(("ICU_RULES", wanted.icu_rules))
    values = [
        sql.SQL("{} = {}").format(sql.SQL(key), sql.Literal(value)) for key, value in options if value is not None
    ]
    return sql.SQL(
        "CREATE DATABASE {} TEMPLATE = template0 OWNER = {} TABLESPACE = {} CONNECTION LIMIT = {} {}"
    ).format(
        sql.Identifier(database),
        sql.Identifier(wanted.owner),
        sql.Identifier(wanted.tablespace),
        sql.Literal(wanted.connection_limit),
        sql.SQL(" ").join(values),
    )


def _alterations(database: str, wanted: DatabaseProperties) -> list[sql.Composed]:
    name = sql.Identifier(database)
    statements = []
    if wanted.comment is not None:
        statements.append(sql.SQL("COMMENT ON DATABASE {} IS {}").format(name, sql.Literal(wanted.comment)))
    for role, setting in wanted.settings:
        key, _, value = setting.partition("=")
        target = sql.SQL("ALTER ROLE {} IN DATABASE {}").format(sql.Identifier(role), name)
        if not role:
            target = sql.SQL("ALTER DATABASE {}").format(name)
        statements.append(sql.SQL("{} SET {} TO {}").format(target, _parameter(key), _setting_value(key, value)))
    if wanted.privileges is not None:
        statements += _grants(name, wanted.owner, wanted.privileges)
    return statements


def _grants(name: sql.Identifier, owner: str, privileges: Sequence[Privilege]) -> list[sql.Composed]:
    public = sql.SQL("PUBLIC")
    revocations = [
        sql.SQL("REVOKE ALL ON DATABASE {} FROM {}").format(name, grantee)
        for grantee in (public, sql.Identifier(owner))
    ]
    grants = [
        sql.SQL("GRANT {} ON DATABASE {} TO {}{}").format(
            sql.SQL(one.privilege),
            name,
            sql.Identifier(one.grantee) if one.grantee else public,
            sql.SQL(" WITH GRANT OPTION" if one.grantable else ""),
        )
        for one in privileges
    ]
    return [*revocations, *grants]


def _parameter(name: str) -> sql.Identifier:
    return sql.Identifier(*name.split("."))


def _setting_value(name: str, value: str) -> sql.Composable:
    if name not in LIST_SETTINGS:
        return sql.Literal(value)
    # An empty list is written as one empty name.
    return sql.SQL(", ").join([sql.Literal(item) for item in split_names(value)] or [sql.Literal("")])


def split_names(text: str) -> list[str]:
    """Split a list of names, each quoted or not, as PostgreSQL stores it: `"$user", public`."""
    names: list[str] = []
    current, quoted = "", False
    position = 0
    while position < len(text):
        character = text[position]
        if character == '"' and quoted and text[position + 1 : position + 2] == '"':
            current += '"'
            position += 1
        elif character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            names.append(current)
            current = ""
        elif quoted or not character.isspace():
            current += character
        position += 1
    return [*names, current] if names or current else []
