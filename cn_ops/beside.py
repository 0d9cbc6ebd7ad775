"""Restore beside the live database, prove it there, and only then swap the names.

The live database keeps its name and content until its replacement is proven. The swap is one transaction:
whoever connects finds the old database or the new one. The old one stays, under a name of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import cn_ops.postgres.database as db
from cn_ops.errors import UsageError, VerificationFailed
from cn_ops.fingerprint import Comparison
from cn_ops.model import Recreation
from cn_ops.names import Beside, beside_pattern, free_names, sort_key
from cn_ops.operation import Operation
from cn_ops.postgres import alter
from cn_ops.postgres.session import maintenance_database, session
from cn_ops.replacement import fill, finished, is_another_cluster, oid_of, verify


def restore_incoming(operation: Operation, wanted: Recreation, said: Callable[[str], None]) -> Recreation:
    """Make the incoming database and fill it; return the record, which knows it by its oid.

    After a failure ``settle`` drops the incoming database and leaves the live one as it is.
    """
    operation.intend(recreating=wanted)
    said("create")
    with session(operation.stack, maintenance_database(wanted.database)) as connection:
        alter.create(connection, wanted.target, wanted.properties)
        made = replace(wanted, new_oid=db.identity(connection, wanted.target).database_oid)
    operation.intend(recreating=made)
    fill(operation.stack, made, operation.settings.restore, said)
    return made


def verify_incoming(operation: Operation, made: Recreation, said: Callable[[str], None]) -> Comparison | None:
    """Prove the incoming database; one that is not equal is kept for a look, and the live one goes on."""
    state = f"the database {made.database!r} {_live_state(made)}; what came back is kept as {made.target!r}"
    try:
        return verify(operation, made, said, state=state)
    except VerificationFailed:
        if not made.damaged:
            finished(operation)
        raise


def swap(operation: Operation, made: Recreation) -> None:
    """Give the incoming database the live one's name, and the live one its own; the writers are stopped."""
    exchange(operation, made.database, made.target, str(made.previous))


def is_swapped(operation: Operation, recorded: Recreation) -> bool:
    """Whether the new database has the live one's name."""
    return recorded.new_oid is not None and oid_of(operation, recorded.database) == recorded.new_oid


def settle(operation: Operation) -> str:
    """Finish a swap that was made, or drop what was not swapped in; return what everything is in, if it was known.

    What a swap had closed is opened. A live database that is not whole stays on record: it is to be restored.
    """
    left = operation.journal.read()
    if left and left.closed:
        open_databases(operation, left.closed)
    recorded = left.recreating if left else None
    if recorded is None or recorded.incoming is None:
        return ""
    if is_another_cluster(operation, recorded):
        finished(operation)
        return ""
    swapped = is_swapped(operation, recorded)
    if not swapped:
        drop_beside(operation, [recorded.incoming])
    if swapped or not recorded.damaged:
        finished(operation)
    if swapped:
        return f"the database {recorded.database!r} is the restored one, the old one is {recorded.previous!r}"
    return f"the database {recorded.database!r} {_live_state(recorded)}"


def databases_beside(operation: Operation, kind: Beside) -> tuple[str, ...]:
    """Return the databases that earlier restores left beside the live one, newest first."""
    pattern = beside_pattern(operation.database, kind)
    with session(operation.stack, maintenance_database(operation.database)) as connection:
        found = [
            (sort_key(match[1]), name) for name in db.databases(connection) if (match := pattern.fullmatch(name))
        ]
    return tuple(name for _, name in sorted(found, reverse=True))


def drop_beside(operation: Operation, names: Sequence[str]) -> None:
    """Drop databases that stand beside the live one."""
    with session(operation.stack, maintenance_database(operation.database)) as connection:
        for name in names:
            alter.drop(connection, name)


def _live_state(recorded: Recreation) -> str:
    return "is not whole, as it was before" if recorded.damaged else "is as it was"


def undo(operation: Operation) -> tuple[str, str]:
    """Swap the newest previous database back in; return its name and the one that the live one has now.

    Raises ``UsageError`` when there is none. The caller has stopped the writers.
    """
    previous = newest_previous(operation)
    with session(operation.stack, maintenance_database(operation.database)) as connection:
        there = db.databases(connection)
    (undone,) = free_names(operation.database, (Beside.INCOMING,), datetime.now(UTC), there)
    exchange(operation, operation.database, previous, undone)
    return previous, undone


def newest_previous(operation: Operation) -> str:
    """Return the database that the last restore replaced; raises ``UsageError`` when there is none."""
    previous = databases_beside(operation, Beside.PREVIOUS)
    if not previous:
        raise UsageError(
            f"no earlier restore of {operation.database!r} can be undone: no previous database is there",
            state="nothing was changed",
            hint="restore a generation instead: `inv backups` lists them",
        )
    return previous[0]


def exchange(operation: Operation, live: str, replacement: str, aside: str) -> None:
    """Give ``replacement`` the live database's name, and the live one the name ``aside``, in one transaction."""
    with session(operation.stack, maintenance_database(live)) as connection:
        names = [(replacement, live)]
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


def open_databases(operation: Operation, names: Sequence[str]) -> None:
    """Let sessions into databases that a killed swap had closed."""
    with session(operation.stack, maintenance_database(operation.database)) as connection:
        _open(operation, connection, names)


def _open(operation: Operation, connection: alter.Connection, names: Sequence[str]) -> None:
    for name in names:
        if db.exists(connection, name):
            alter.allow_connections(connection, name, allowed=True)
    operation.intend(closed=())
