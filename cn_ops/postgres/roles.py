"""Roles that a database refers to, on a server that does not have them."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

from cn_ops.fingerprint import Role
from cn_ops.postgres.alter import with_setting


def make_missing_roles(connection: psycopg.Connection, roles: Sequence[Role]) -> tuple[str, ...]:
    """Make the roles that are not there, with attributes, settings and memberships and no password; return them."""
    there = {str(row[0]) for row in connection.execute("SELECT rolname FROM pg_roles")}
    missing = [role for role in roles if role.name not in there]
    for role in missing:
        connection.execute(
            sql.SQL("CREATE ROLE {} {}").format(
                sql.Identifier(role.name), sql.SQL(" ").join(map(_word, role.attributes))
            )
        )
        there.add(role.name)
        altering = sql.SQL("ALTER ROLE {}").format(sql.Identifier(role.name))
        for setting in role.settings:
            connection.execute(with_setting(altering, setting))
    for role in missing:
        for one in role.member_of:
            if one.role not in there:
                connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(one.role)))
                there.add(one.role)
            options = f" WITH {', '.join(one.options)}" if one.options else ""
            connection.execute(
                sql.SQL("GRANT {} TO {}{}").format(
                    sql.Identifier(one.role), sql.Identifier(role.name), sql.SQL(options)
                )
            )
    return tuple(role.name for role in missing)


def _word(attribute: str) -> sql.Composable:
    """Return an attribute as CREATE ROLE takes it: `LOGIN`, `CONNECTION LIMIT 5`, `VALID UNTIL '…'`."""
    head, _, value = attribute.partition("UNTIL ")
    return sql.SQL("{} {}").format(sql.SQL(head + "UNTIL"), sql.Literal(value)) if value else sql.SQL(attribute)
