"""Restore beside the live database, prove it there, and only then swap the names.

The live database keeps its name and content until its replacement is proven. The swap is one transaction:
whoever connects finds the old database or the new one. The old one stays, under a name of its own.

Where there is no room for two, the old one is dropped first, once the new one is made and still empty: nobody ever
finds a half restored database under the live one's name, but for a while there is none of that name.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import cn_ops.postgres.database as db
from cn_ops.errors import MissingError, OpsError, UsageError, VerificationFailed
from cn_ops.exchange import exchange, open_databases, rest_subscriptions
from cn_ops.fingerprint import Comparison
from cn_ops.model import Recreation
from cn_ops.names import Beside, beside_pattern, free_names, sort_key
from cn_ops.operation import Operation
from cn_ops.postgres import alter
from cn_ops.postgres.session import maintenance_database, session
from cn_ops.record import (
    finished,
    has_incoming,
    is_another_cluster,
    is_empty,
    is_valid,
    may_be_dropped,
    oid_of,
    on_record,
    speaks_of,
    writers_state,
)
from cn_ops.replacement import check_scripts, fill, verify, wanted_fingerprint

ANOTHER = "restore another generation: `inv restore --dump=…`; `inv backups` lists them"


def restore_incoming(operation: Operation, wanted: Recreation, said: Callable[[str], None]) -> Recreation:
    """Make the incoming database and fill it; return the record, which knows it by its oid.

    What an earlier try has made goes first. With ``drop_first`` the old database goes as soon as the new one is made,
    and the writers must be stopped. After a failure ``settle`` says what everything is in.
    """
    # Whatever is needed later can be read now, before anything goes.
    fingerprint = wanted_fingerprint(wanted)
    check_scripts(operation.settings.restore)
    discard_incoming(operation)
    # Killed before its number is on record, it must be known by its name.
    wanted = replace(wanted, new_oid=None)
    operation.intend(recreating=wanted)
    said("create")
    with session(operation.stack, maintenance_database(wanted.database)) as connection:
        alter.create(connection, wanted.incoming, wanted.properties)
        made = replace(wanted, new_oid=db.oid(connection, wanted.incoming))
        operation.intend(recreating=made)
        if made.drop_first and made.old_oid and db.oid(connection, made.database) == made.old_oid:
            said("drop the old one")
            alter.drop(connection, made.database)
    try:
        fill(
            *(operation.stack, made.incoming, Path(made.dump), operation.settings.restore, said),
            owners=made.owners,
            privileges=made.privileges,
            fingerprint=fingerprint,
        )
    except OpsError as error:
        error.state = ""  # of the dump it may know, and not of the databases: `settle` does
        raise
    return made


def discard_incoming(operation: Operation) -> None:
    """Drop what an earlier try has made, unless its dump is gone: then it may be the only copy."""
    recorded = on_record(operation)
    if recorded is None or not has_incoming(operation, recorded):
        return
    if may_be_dropped(operation, recorded):
        drop_beside(operation, [recorded.incoming])
    else:
        operation.phases.warn(
            f"what an earlier restore had brought is kept as {recorded.incoming!r}, for its dump is gone or has "
            "changed: `inv restore --finish` drops it"
        )


def verify_incoming(operation: Operation, made: Recreation, said: Callable[[str], None]) -> Comparison | None:
    """Prove the incoming database; one that is not equal is kept for a look."""
    try:
        return verify(operation, made, said)
    except VerificationFailed as error:
        is_lost = speaks_of(operation, made)
        state = f"{_live_state(operation, made, is_lost=is_lost)}; what came back is kept as {made.incoming!r}"
        look = f"`inv compare --dump={shlex.quote(made.dump)} --database={shlex.quote(made.incoming)}`"
        hint = f"look at it with {look}, or {ANOTHER}"
        if is_lost:
            state += f" until the next command restores it again{writers_state(operation)}"
            first = "" if oid_of(operation, made.database) is None else "rename or drop the other one, "
            hint += f"; if it is what you want, {first}rename it to {made.database!r} with psql, then `inv heal`"
        else:
            finished(operation)
        error.state = state  # of the dump it may know, and not of the databases
        error.with_hint(hint)
        raise


def swap(operation: Operation, made: Recreation) -> str | None:
    """Give the incoming database the live one's name; return the old one's name from now on, if there is an old one.

    The writers are stopped.
    """
    return made.previous if exchange(operation, made.database, made.incoming, made.previous) else None


def is_swapped(operation: Operation, recorded: Recreation) -> bool:
    """Whether the new database has the live one's name."""
    return recorded.new_oid is not None and oid_of(operation, recorded.database) == recorded.new_oid


def settle(operation: Operation) -> str:
    """Finish a swap that was made, or drop what was not swapped in; return what everything is in, if it was known.

    What a swap had closed is opened. A live database that is not whole stays on record, for it is to be restored, and
    so does what came back until then.
    """
    left = operation.journal.read()
    if left and left.closed:
        open_databases(operation, left.closed)
    recorded = left.recreating if left else None
    if recorded is None:
        return ""
    if is_another_cluster(operation, recorded):
        finished(operation)
        return ""
    if is_swapped(operation, recorded):
        has_old = recorded.previous in _all_databases(operation)
        if has_old:
            rest_subscriptions(operation, recorded.previous)
        finished(operation)
        kept = f", the old one is {recorded.previous!r}" if has_old else ""
        return f"the database {recorded.database!r} is the restored one{kept}"
    is_lost = speaks_of(operation, recorded)
    state = _live_state(operation, recorded, is_lost=is_lost)
    if is_lost:
        return state
    if has_incoming(operation, recorded):
        if may_be_dropped(operation, recorded):
            drop_beside(operation, [recorded.incoming])
        else:
            state += f"; what came back is kept as {recorded.incoming!r}"
    finished(operation)
    return state


def _all_databases(operation: Operation) -> tuple[str, ...]:
    with session(operation.stack, maintenance_database(operation.database)) as connection:
        return db.databases(connection)


def databases_beside(operation: Operation, kind: Beside) -> tuple[str, ...]:
    """Return the databases that earlier restores left beside the live one, newest first."""
    pattern = beside_pattern(operation.database, kind)
    names = _all_databases(operation)
    found = [(sort_key(match[1]), name) for name in names if (match := pattern.fullmatch(name))]
    return tuple(name for _, name in sorted(found, reverse=True))


def require_live(operation: Operation) -> None:
    """Raise ``MissingError`` unless the live database is there, can be used, and has something in it.

    Without it, what earlier restores left beside it may be all that is left of its data.
    """
    database = operation.database
    if oid_of(operation, database) is None:
        problem = "is not there"
    elif not is_valid(operation, database):
        problem = "is what an interrupted DROP DATABASE has left"
    elif is_empty(operation, database):
        problem = "is empty (if that is right, drop them with psql)"
    else:
        return
    raise MissingError(
        f"the live database {database!r} {problem}: what earlier restores left may be the only copy of its data",
        state="nothing was dropped",
        hint="`inv restore --undo` swaps the newest previous one in, `inv restore --dump=…` restores a generation",
    )


def drop_beside(operation: Operation, names: Sequence[str]) -> None:
    """Drop databases that stand beside the live one."""
    with session(operation.stack, maintenance_database(operation.database)) as connection:
        for name in names:
            alter.drop(connection, name)


def _live_state(operation: Operation, recorded: Recreation, *, is_lost: bool) -> str:
    there = oid_of(operation, recorded.database)
    if there is None:
        now = "is not there"
    elif there == recorded.old_oid:
        now = "is not whole" if is_lost else "is as it was"
    else:
        now = "is another one than was to be replaced"
    return f"the database {recorded.database!r} {now}"


def undo(operation: Operation, previous: str) -> str | None:
    """Swap a previous database back in; return the name that the live one has now, if there is one.

    The caller has stopped the writers.
    """
    there = _all_databases(operation)
    (undone,) = free_names(operation.database, (Beside.INCOMING,), datetime.now(UTC), there)
    is_kept = exchange(operation, operation.database, previous, undone)
    return undone if is_kept else None


def newest_previous(operation: Operation) -> str:
    """Return the newest database that a restore has kept; raises ``UsageError`` when there is none."""
    there = databases_beside(operation, Beside.PREVIOUS)
    with session(operation.stack, maintenance_database(operation.database)) as connection:
        # What an interrupted drop has left keeps its name.
        previous = [name for name in there if db.is_valid(connection, name)]
    if not previous:
        raise UsageError(
            f"no earlier restore of {operation.database!r} can be undone: no previous database is there",
            state="nothing was changed",
            hint="restore a generation instead: `inv backups` lists them",
        )
    return previous[0]
