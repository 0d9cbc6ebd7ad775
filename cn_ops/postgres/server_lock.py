"""A lock in the server itself: two machines may work on one server, and share no folder with lock files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import psycopg
from psycopg import sql

from cn_ops.errors import LockHeld
from cn_ops.postgres.session import connected, explained, maintenance_database
from cn_ops.stack import Server

# The server takes a moment to notice that a command before this one has ended, or was killed.
PATIENCE = "2s"
# Of a machine that lost its power, the server hears nothing: it is to ask after a minute, and not after two hours.
SETTINGS = {
    "idle_session_timeout": "0",
    "lock_timeout": PATIENCE,
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}


@contextmanager
def server_lock(server: Server, database: str, *, shared: bool = False) -> Iterator[None]:
    """Hold the right to replace a database, or with ``shared`` that nobody does; raises ``LockHeld``.

    The server frees it however the session ends.
    """
    where = maintenance_database(database)
    parameters = server.conninfo(where)
    with explained(parameters["user"], where):
        connection = connected(parameters, SETTINGS)
    # Only closed, for that cannot fail: a server that has gone meanwhile is the block's own matter.
    with closing(connection):
        with explained(parameters["user"], where):
            is_ours = _lock(connection, database, shared=shared)
        if not is_ours:
            does = "replaces" if shared else "replaces or backs up"
            raise LockHeld(
                f"another command {does} the database {database!r} of this server, from another machine or folder",
                state="this command changed nothing",
                hint="wait for it to end, then run this again",
            )
        yield


def _lock(connection: psycopg.Connection, database: str, *, shared: bool) -> bool:
    function = sql.SQL("pg_advisory_lock_shared" if shared else "pg_advisory_lock")
    taking = sql.SQL("SELECT {}(hashtextextended('cn-ops: replace ' || %s, 0))").format(function)
    with suppress(psycopg.errors.LockNotAvailable):
        connection.execute(taking, (database,))
        return True
    return False
