"""What a database is: its identity, its size, and what belongs to it beside its content."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import sql

from cn_ops.errors import OperationFailed
from cn_ops.model import DatabaseProperties, Identity, Privilege
from cn_ops.postgres.session import qualified

# What a database that nobody has granted anything on grants.
DEFAULT_PRIVILEGES = "acldefault('d', d.datdba)"
PROVIDERS = {"b": "builtin", "c": "libc", "i": "icu"}


def server_version(connection: psycopg.Connection) -> str:
    """Return the server's version, such as `17.6`."""
    return str(scalar(connection, "SHOW server_version")).split()[0]


def major(version: str) -> int:
    """Return the major version of `17.6` or `18beta1`."""
    digits = ""
    for character in version.strip():
        if not character.isdigit():
            break
        digits += character
    if not digits:
        raise OperationFailed(f"{version!r} is not a PostgreSQL version")
    return int(digits)


def exists(connection: psycopg.Connection, database: str) -> bool:
    """Whether the server has a database of that name."""
    return bool(scalar(connection, "SELECT count(*) FROM pg_database WHERE datname = %s", database))


def is_empty(connection: psycopg.Connection) -> bool:
    """Whether the session's database has nothing of a user's: no relation, function, type, schema or large object."""
    return not scalar(
        connection,
        "SELECT EXISTS (SELECT FROM pg_largeobject_metadata) OR EXISTS (SELECT FROM pg_namespace AS n"
        " WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND (n.nspname <> 'public'"
        "  OR EXISTS (SELECT FROM pg_class WHERE relnamespace = n.oid)"
        "  OR EXISTS (SELECT FROM pg_proc WHERE pronamespace = n.oid)"
        "  OR EXISTS (SELECT FROM pg_type WHERE typnamespace = n.oid)))",
    )


def system_identifier(connection: psycopg.Connection) -> str:
    """Return which cluster this is."""
    return str(scalar(connection, "SELECT system_identifier::text FROM pg_control_system()"))


def is_valid(connection: psycopg.Connection, database: str) -> bool:
    """Whether a database is there and can be used.

    One whose drop was interrupted keeps its name and oid, and nothing else.
    """
    return bool(scalar(connection, "SELECT datconnlimit <> -2 FROM pg_database WHERE datname = %s", database))


def identity(connection: psycopg.Connection, database: str) -> Identity:
    """Return which database this is; raises ``OperationFailed`` when it is gone."""
    number = oid(connection, database)
    if number is None:
        raise OperationFailed(f"the database {database!r} is gone")
    return Identity(system_identifier(connection), database, number)


def oid(connection: psycopg.Connection, database: str) -> int | None:
    """Return a database's number, or None when it is not there."""
    found = scalar(connection, "SELECT oid::bigint FROM pg_database WHERE datname = %s", database)
    return None if found is None else int(str(found))


def lets_in(connection: psycopg.Connection, database: str) -> bool:
    """Whether a database is there, and is not closed to everybody."""
    return bool(scalar(connection, "SELECT datallowconn FROM pg_database WHERE datname = %s", database))


def size_bytes(connection: psycopg.Connection, database: str) -> int:
    """Return how much space a database takes."""
    return int(str(scalar(connection, "SELECT pg_database_size(%s::name)", database)))


def count_rows(connection: psycopg.Connection, table: str) -> int:
    """Count the rows of ``schema.table``; raises ``OperationFailed`` when there is no such table."""
    is_plain_table(connection, table)
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(qualified(table))).fetchone()
    return int(row[0]) if row else 0


def is_plain_table(connection: psycopg.Connection, table: str) -> bool:
    """Whether all that ``SELECT`` finds in ``schema.table`` are that table's own rows, and a dump has all of them.

    Raises ``OperationFailed`` when there is no such table or view.
    """
    schema, name = table.split(".", 1)
    is_plain = scalar(
        connection,
        "SELECT c.relkind = 'r' AND NOT c.relhassubclass AND NOT EXISTS (SELECT FROM pg_depend AS d"
        "  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0 AND d.deptype = 'e')"
        " FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p', 'f', 'v', 'm')",
        schema,
        name,
    )
    if is_plain is None:
        raise OperationFailed(
            f"the table {table} is not in database {connection.info.dbname!r}",
            hint="set drill.count_table to a table of the node",
        )
    return bool(is_plain)


def subscriptions(connection: psycopg.Connection) -> list[str]:
    """Return the names of the session's database's subscriptions."""
    query = (
        "SELECT s.subname::text FROM pg_subscription AS s JOIN pg_database AS d ON d.oid = s.subdbid"
        " WHERE d.datname = current_database() ORDER BY 1"
    )
    return [str(row[0]) for row in connection.execute(query)]


def properties(connection: psycopg.Connection, database: str) -> DatabaseProperties:
    """Return what `CREATE DATABASE` and `ALTER DATABASE` must say to make this database again."""
    row = connection.execute(
        "SELECT to_jsonb(d) - 'datacl', pg_get_userbyid(d.datdba), pg_encoding_to_char(d.encoding), t.spcname,"
        " shobj_description(d.oid, 'pg_database')"
        " FROM pg_database AS d JOIN pg_tablespace AS t ON t.oid = d.dattablespace WHERE d.datname = %s",
        (database,),
    ).fetchone()
    if row is None:
        raise OperationFailed(f"the database {database!r} is gone")
    columns, owner, encoding, tablespace, comment = row
    privileges = _privileges(connection, database, f"coalesce(d.datacl, {DEFAULT_PRIVILEGES})")
    return DatabaseProperties(
        owner=owner,
        encoding=encoding,
        # Columns come and go with the major version: 15 has daticulocale, 17 datlocale, 16 and later daticurules.
        locale_provider=PROVIDERS[columns.get("datlocprovider", "c")],
        collate=columns["datcollate"],
        ctype=columns["datctype"],
        locale=columns.get("datlocale") or columns.get("daticulocale"),
        icu_rules=columns.get("daticurules"),
        connection_limit=max(-1, columns["datconnlimit"]),  # -2 marks a drop that was interrupted
        tablespace=tablespace,
        comment=comment,
        privileges=None if privileges == _privileges(connection, database, DEFAULT_PRIVILEGES) else privileges,
        settings=_settings(connection, database),
        is_template=columns["datistemplate"],
    )


def default_properties(connection: psycopg.Connection, owner: str) -> DatabaseProperties:
    """Return what `CREATE DATABASE` would choose, for a database that nobody remembers."""
    template = properties(connection, "template1")
    own: dict[str, Any] = {"comment": None, "privileges": None, "settings": (), "is_template": False}
    return replace(template, owner=owner, connection_limit=-1, **own)


def databases(connection: psycopg.Connection) -> tuple[str, ...]:
    """Return the names of the server's databases."""
    return tuple(str(row[0]) for row in connection.execute("SELECT datname FROM pg_database ORDER BY 1"))


def missing_roles(
    connection: psycopg.Connection, wanted: DatabaseProperties, others: Iterable[str] = ()
) -> tuple[str, ...]:
    """Return the roles that a database's properties name, or that are named beside them, and the server lacks."""
    named = {*others, wanted.owner, *(role for role, _ in wanted.settings if role)}
    named |= {one.grantee for one in wanted.privileges or () if one.grantee}
    known = connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", (sorted(named),)).fetchall()
    return tuple(sorted(named - {row[0] for row in known}))


def _privileges(connection: psycopg.Connection, database: str, granted: str) -> tuple[Privilege, ...]:
    """Return who may do what, whoever granted it: two may have granted the same."""
    query = f"""
    SELECT CASE a.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(a.grantee) END, a.privilege_type,
           bool_or(a.is_grantable)
    FROM pg_database AS d, aclexplode({granted}) AS a WHERE d.datname = %s GROUP BY 1, 2 ORDER BY 1, 2"""  # noqa: S608
    return tuple(Privilege(*row) for row in connection.execute(query.encode(), (database,)))


def _settings(connection: psycopg.Connection, database: str) -> tuple[tuple[str, str], ...]:
    rows = connection.execute(
        "SELECT coalesce(r.rolname, ''), c.item FROM pg_db_role_setting AS s"
        " JOIN pg_database AS d ON d.oid = s.setdatabase LEFT JOIN pg_roles AS r ON r.oid = s.setrole,"
        " unnest(s.setconfig) AS c (item) WHERE d.datname = %s ORDER BY 1, 2",
        (database,),
    ).fetchall()
    return tuple((str(role), str(item)) for role, item in rows)


def scalar(connection: psycopg.Connection, query: str, *arguments: object) -> object:
    """Return the first value of the first row, or None when there is no row."""
    row = connection.execute(query.encode(), arguments or None).fetchone()
    return row[0] if row else None
