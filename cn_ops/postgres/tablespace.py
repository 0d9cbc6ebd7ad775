"""A tablespace that lasts for one block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql


@contextmanager
def tablespace(connection: psycopg.Connection, name: str, folder: Path) -> Iterator[None]:
    """Make a tablespace in an empty folder that the server's account owns; one that was left is dropped first."""
    drop = sql.SQL("DROP TABLESPACE IF EXISTS {}").format(sql.Identifier(name))
    connection.execute(drop)
    connection.execute(
        sql.SQL("CREATE TABLESPACE {} LOCATION {}").format(sql.Identifier(name), sql.Literal(str(folder)))
    )
    try:
        yield
    finally:
        connection.execute(drop)


def move(connection: psycopg.Connection, database: str, name: str) -> None:
    """Move a database to a tablespace; nobody may be connected to it."""
    connection.execute(
        sql.SQL("ALTER DATABASE {} SET TABLESPACE {}").format(sql.Identifier(database), sql.Identifier(name))
    )
