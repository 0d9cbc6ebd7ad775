"""Hold other sessions up at a table of the catalog, to have something happen in the middle of their work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from cn_ops.postgres.session import session
from cn_ops.stack import Server


@contextmanager
def held(server: Server, database: str, table: str) -> Iterator[int]:
    """Lock a table of a database's catalog against everybody for the block; give the session's process id."""
    with session(server, database) as connection:
        connection.execute("BEGIN")
        connection.execute(
            sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier("pg_catalog", table))
        )
        yield connection.info.backend_pid


def held_up(connection: psycopg.Connection, holder: int) -> str | None:
    """Return what a session that waits for the holder is doing, or None when nobody waits."""
    row = connection.execute(
        "SELECT query FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid)) LIMIT 1", (holder,)
    ).fetchone()
    return str(row[0]) if row else None
