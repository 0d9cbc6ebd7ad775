"""What a session's role may do with a database, and what stands in its way."""

from __future__ import annotations

import psycopg

from cn_ops.errors import UsageError
from cn_ops.postgres.database import scalar

# GRANT … WITH INHERIT, SET; before, membership is both.
SET_SINCE = 160_000


def require_may_create(connection: psycopg.Connection) -> None:
    """Raise ``UsageError`` unless this session's role can make the database anew."""
    if not scalar(connection, "SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user"):
        raise UsageError(
            f"the role {connection.info.user!r} may not create databases",
            state="nothing was changed",
            hint="a superuser can grant it: ALTER ROLE … CREATEDB",
        )


def require_may_act_as(connection: psycopg.Connection, owner: str) -> None:
    """Raise ``UsageError`` unless this session's role can rename and drop a database of that owner's."""
    _require_role(connection, owner, "USAGE", "INHERIT", "owns the live database, or is to: it could not rename it")


def require_may_make_for(connection: psycopg.Connection, owner: str) -> None:
    """Raise ``UsageError`` unless this session's role can make a database for that owner, and rename it."""
    require_may_act_as(connection, owner)
    if connection.info.server_version >= SET_SINCE:
        _require_role(connection, owner, "SET", "SET", "is to own the database: it could not make one for it")


def _require_role(connection: psycopg.Connection, owner: str, privilege: str, option: str, why: str) -> None:
    if not scalar(connection, "SELECT pg_has_role(%s, %s)", owner, privilege):
        user = connection.info.user
        option = f" WITH {option} TRUE" if connection.info.server_version >= SET_SINCE else ""
        raise UsageError(
            f"the role {user!r} may not act as {owner!r}, who {why}",
            state="nothing was changed",
            hint=f'a superuser can grant it: GRANT "{owner}" TO "{user}"{option}',
        )


def may_read_passwords(connection: psycopg.Connection) -> bool:
    """Whether this session's role can read the password hashes of roles."""
    return bool(scalar(connection, "SELECT has_table_privilege('pg_catalog.pg_authid', 'SELECT')"))


def is_superuser(connection: psycopg.Connection) -> bool:
    """Whether this session's role is a superuser."""
    return bool(scalar(connection, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"))


def prepared_transactions(connection: psycopg.Connection, database: str) -> tuple[str, ...]:
    """Return the names of a database's prepared transactions, which keep it from being renamed or dropped."""
    return _names(connection, "SELECT gid FROM pg_prepared_xacts WHERE database = %s ORDER BY 1", database)


def require_movable(connection: psycopg.Connection, database: str, *, dropped: bool) -> None:
    """Raise ``UsageError`` for what keeps a database from being renamed, or dropped, before that is begun."""
    if prepared := prepared_transactions(connection, database):
        raise UsageError(
            f"{database!r} has prepared transactions, and cannot be replaced: {', '.join(prepared)}",
            state="nothing was changed",
            hint="end each in that database: COMMIT PREPARED '…' or ROLLBACK PREPARED '…'",
        )
    active = "SELECT slot_name::text FROM pg_replication_slots WHERE active AND database = %s ORDER BY 1"
    if dropped and (slots := _names(connection, active, database)):
        raise UsageError(
            f"{database!r} has replication slots in use, and cannot be dropped: {', '.join(slots)}",
            state="nothing was changed",
            hint="stop those who read from them; a restore with --strategy=beside needs no drop",
        )


def _names(connection: psycopg.Connection, query: str, database: str) -> tuple[str, ...]:
    return tuple(str(row[0]) for row in connection.execute(query.encode(), (database,)))


def out_of_reach(connection: psycopg.Connection, database: str) -> tuple[str, ...]:
    """Return the roles that have sessions in a database which this session's role may not end."""
    rows = connection.execute(
        "SELECT DISTINCT a.usename::text FROM pg_stat_activity AS a JOIN pg_roles AS r ON r.oid = a.usesysid"
        " WHERE a.datname = %s AND a.pid <> pg_backend_pid() AND NOT pg_has_role(a.usesysid, 'USAGE')"
        " AND (r.rolsuper OR NOT pg_has_role('pg_signal_backend', 'USAGE')) ORDER BY 1",
        (database,),
    ).fetchall()
    return tuple(str(row[0]) for row in rows)
