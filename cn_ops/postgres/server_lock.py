"""A lock in the server itself: two machines may work on one server, and share no folder with lock files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import psycopg

from cn_ops.errors import LockHeld
from cn_ops.postgres.session import connected, explained, maintenance_database
from cn_ops.stack import Server

# The server takes a moment to notice that a command before this one has ended, or was killed.
PATIENCE = "2s"


@contextmanager
def server_lock(server: Server, database: str) -> Iterator[None]:
    """Hold the right to replace a database; the server frees it however the session ends. Raises ``LockHeld``."""
    where = maintenance_database(database)
    parameters = server.conninfo(where)
    with explained(parameters["user"], where):
        connection = connected(parameters, {"idle_session_timeout": "0", "lock_timeout": PATIENCE})
    # Only closed, for that cannot fail: a server that has gone meanwhile is the block's own matter.
    with closing(connection):
        with explained(parameters["user"], where):
            is_ours = _lock(connection, database)
        if not is_ours:
            raise LockHeld(
                f"another command replaces the database {database!r} of this server, from another machine or folder",
                state="this command changed nothing",
                hint="wait for it to end, then run this again",
            )
        yield


def _lock(connection: psycopg.Connection, database: str) -> bool:
    with suppress(psycopg.errors.LockNotAvailable):
        connection.execute("SELECT pg_advisory_lock(hashtextextended('cn-ops: replace ' || %s, 0))", (database,))
        return True
    return False
