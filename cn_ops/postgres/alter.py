"""Making, changing, renaming and dropping databases."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from cn_ops.errors import UsageError
from cn_ops.model import DatabaseProperties, Privilege
from cn_ops.postgres.rights import out_of_reach, require_movable

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


DEFAULT_TABLESPACE = "pg_default"  # template0's

Connection = psycopg.Connection


def drop(connection: psycopg.Connection, database: str) -> None:
    """End a database's sessions and drop it, as `dropdb --if-exists --force` does; its subscriptions go with it.

    Raises ``UsageError`` for what keeps it from being dropped, before it is touched.
    """
    require_movable(connection, database, dropped=True)
    if out_of_reach(connection, database):
        end_sessions(connection, database)
    _drop_subscriptions(connection, database)
    name = sql.Identifier(database)
    template = connection.execute("SELECT FROM pg_database WHERE datname = %s AND datistemplate", (database,))
    if template.rowcount:
        connection.execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE false").format(name))
    try:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
    except BaseException:
        if template.rowcount:
            with suppress(psycopg.Error):
                connection.execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE true").format(name))
        raise


def disable_subscriptions(connection: psycopg.Connection, database: str) -> tuple[str, ...]:
    """Disable the enabled subscriptions of a database; return their names."""
    return _subscriptions_altered(connection, database, "AND s.subenabled", "ALTER SUBSCRIPTION {} DISABLE")


def _drop_subscriptions(connection: psycopg.Connection, database: str) -> None:
    """Drop what would keep a database from being dropped; the slots at the publishers are somebody else's."""
    _subscriptions_altered(
        *(connection, database, ""),
        *("ALTER SUBSCRIPTION {} DISABLE", "ALTER SUBSCRIPTION {} SET (slot_name = NONE)", "DROP SUBSCRIPTION {}"),
    )


def _subscriptions_altered(
    connection: psycopg.Connection, database: str, which: str, *statements: str
) -> tuple[str, ...]:
    query = f"""
    SELECT s.subname::text FROM pg_subscription AS s JOIN pg_database AS d ON d.oid = s.subdbid
    WHERE d.datname = %s {which} ORDER BY 1"""  # noqa: S608 - our own words
    names = tuple(str(row[0]) for row in connection.execute(query.encode(), (database,)))
    if names:
        info = connection.info
        there = {"hostaddr": "", **info.get_parameters(), "password": info.password, "dbname": database}
        with psycopg.connect(make_conninfo(**there), autocommit=True) as inside:
            for name in names:
                for statement in statements:
                    inside.execute(sql.SQL(statement).format(sql.Identifier(name)))
    return names


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
    if wanted.tablespace != DEFAULT_TABLESPACE:  # naming it, even the default one, needs a privilege on it
        options.append(("TABLESPACE", wanted.tablespace))
    if wanted.locale_provider != "libc":
        options.append(("ICU_LOCALE" if wanted.locale_provider == "icu" else "BUILTIN_LOCALE", wanted.locale))
        options.append(("ICU_RULES", wanted.icu_rules))
    values = [
        sql.SQL("{} = {}").format(sql.SQL(key), sql.Literal(value)) for key, value in options if value is not None
    ]
    return sql.SQL("CREATE DATABASE {} TEMPLATE = template0 OWNER = {} CONNECTION LIMIT = {} {}").format(
        sql.Identifier(database),
        sql.Identifier(wanted.owner),
        sql.Literal(wanted.connection_limit),
        sql.SQL(" ").join(values),
    )


def allow_connections(connection: psycopg.Connection, database: str, *, allowed: bool) -> None:
    """Let sessions in, or keep everybody out, superusers included."""
    connection.execute(
        sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(
            sql.Identifier(database), sql.SQL(str(allowed).lower())
        )
    )


def end_sessions(connection: psycopg.Connection, database: str) -> None:
    """End every session of a database and wait until they are gone.

    Raises ``UsageError`` naming the roles whose sessions this one may not end. What has no role is the server's own
    (autovacuum), and makes way by itself.
    """
    if roles := out_of_reach(connection, database):
        raise UsageError(
            f"the role {connection.info.user!r} may not end the sessions of {', '.join(roles)} in {database!r}",
            hint="end them, or stop what holds them (stack.server.stop); before later backups, "
            f"GRANT pg_signal_backend TO {connection.info.user} lets it end all but superusers'",
        )
    connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = %s AND pid <> pg_backend_pid() AND usesysid IS NOT NULL",
        (database,),
    )


def rename(connection: psycopg.Connection, names: Sequence[tuple[str, str]]) -> None:
    """Rename databases, all in one transaction: nobody ever sees only some of the new names."""
    with connection.transaction():
        for old, new in names:
            connection.execute(
                sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(old), sql.Identifier(new))
            )


def _alterations(database: str, wanted: DatabaseProperties) -> list[sql.Composed]:
    name = sql.Identifier(database)
    statements = []
    if wanted.comment is not None:
        statements.append(sql.SQL("COMMENT ON DATABASE {} IS {}").format(name, sql.Literal(wanted.comment)))
    for role, setting in wanted.settings:
        target = sql.SQL("ALTER ROLE {} IN DATABASE {}").format(sql.Identifier(role), name)
        if not role:
            target = sql.SQL("ALTER DATABASE {}").format(name)
        statements.append(with_setting(target, setting))
    if wanted.is_template:
        statements.append(sql.SQL("ALTER DATABASE {} IS_TEMPLATE true").format(name))
    if wanted.privileges is not None:
        statements += _grants(name, wanted.owner, wanted.privileges)
    return statements


def with_setting(target: sql.Composable, setting: str) -> sql.Composed:
    """Return the statement that lets a role or a database (`ALTER ROLE x`) have a setting (`name=value`)."""
    key, _, value = setting.partition("=")
    return sql.SQL("{} SET {} TO {}").format(target, _parameter(key), _setting_value(key, value))


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
