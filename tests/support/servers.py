"""Looking at an embedded stack's server."""

from __future__ import annotations

import psycopg
from psycopg.conninfo import make_conninfo

from cn_ops.stack.embedded import EmbeddedStack


def answers(stack: EmbeddedStack, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(make_conninfo(**stack.conninfo("cn")), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def postmaster(stack: EmbeddedStack) -> int:
    pid = stack._cluster.pid()
    assert pid is not None
    return pid


def filled(database_url: str, statements: str) -> str:
    """Run statements in a database; return its name."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(statements.encode())
        return connection.info.dbname
