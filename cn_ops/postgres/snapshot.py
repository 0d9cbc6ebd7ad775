"""One view of a database for everything that must agree: rows, hashes and the dump."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from cn_ops.errors import OperationFailed
from cn_ops.postgres.session import session
from cn_ops.stack import Server


@dataclass(frozen=True)
class Snapshot:
    """An exported snapshot: valid while ``connection``'s transaction is open."""

    id: str
    connection: psycopg.Connection

    @property
    def dump_flags(self) -> tuple[str, ...]:
        """Return the flags of a pg_dump that sees the same, and writes any letter.

        The database or the role may ask for an encoding that has not all letters of the database's own.
        """
        encoding = self.connection.info.parameter_status("server_encoding")
        return (f"--snapshot={self.id}", f"--encoding={encoding}", "--no-password")


@contextmanager
def snapshot(server: Server, database: str) -> Iterator[Snapshot]:
    """Export a snapshot in a read-only transaction that stays open for the block."""
    with session(server, database) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        row = connection.execute("SELECT pg_export_snapshot()").fetchone()
        if row is None:
            raise OperationFailed("the server exported no snapshot")
        yield Snapshot(str(row[0]), connection)
        connection.execute("ROLLBACK")
