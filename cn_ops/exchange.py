"""Giving a database the live one's name, in one transaction, and nobody in between."""

from __future__ import annotations

from collections.abc import Sequence

import cn_ops.postgres.database as db
from cn_ops.errors import OpsError
from cn_ops.operation import Operation
from cn_ops.postgres import alter
from cn_ops.postgres.session import maintenance_database, session


def exchange(operation: Operation, live: str, replacement: str, aside: str) -> bool:
    """Give ``replacement`` the live database's name, and the live one the name ``aside``, in one transaction.

    Return whether there was a live one. What an interrupted drop has left is none: PostgreSQL can only drop it.
    """
    with session(operation.stack, maintenance_database(live)) as connection:
        names = [(replacement, live)]
        if db.exists(connection, live) and not db.is_valid(connection, live):
            alter.drop(connection, live)
        if db.exists(connection, live):
            names.insert(0, (live, aside))
            # Nobody may come back between the end of the sessions and the rename, which needs there to be none.
            operation.intend(closed=(live, aside))
            alter.allow_connections(connection, live, allowed=False)
        try:
            for name, _ in names:
                alter.end_sessions(connection, name)
            alter.rename(connection, names)
        finally:
            _open(operation, connection, (live, aside))
    is_kept = len(names) > 1
    if is_kept:
        rest_subscriptions(operation, aside)
    return is_kept


def rest_subscriptions(operation: Operation, database: str) -> None:
    """Disable the subscriptions of a database that is live no more: two must not take from one slot."""
    try:
        with session(operation.stack, maintenance_database(operation.database)) as connection:
            names = alter.disable_subscriptions(connection, database)
    except OpsError as error:
        operation.phases.warn(
            f"the subscriptions of {database!r} could not be disabled, and may go on to take what the live database "
            f"needs: {error.message}"
        )
        return
    if names:
        operation.phases.warn(
            f"the subscriptions {', '.join(names)} of {database!r} are disabled; a restored one is as well, until "
            "ALTER SUBSCRIPTION … ENABLE: it then goes on where the old one had come to"
        )


def open_databases(operation: Operation, names: Sequence[str]) -> None:
    """Let sessions into databases that a killed swap had closed."""
    with session(operation.stack, maintenance_database(operation.database)) as connection:
        _open(operation, connection, names)


def _open(operation: Operation, connection: alter.Connection, names: Sequence[str]) -> None:
    for name in names:
        if db.is_valid(connection, name) and not db.lets_in(connection, name):
            alter.allow_connections(connection, name, allowed=True)
    operation.intend(closed=())
