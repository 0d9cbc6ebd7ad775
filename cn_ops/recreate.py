"""Make the live database anew from a dump: the old contract's way, for which a restore has no room to fail.

Between the drop and the last row there is no database to go back to, so everything that can be known is
checked before, and the journal knows what to make again if this process is killed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import cn_ops.postgres.database as db
from cn_ops.errors import Interrupted, OperationFailed, OpsError, VerificationFailed
from cn_ops.model import Recreation
from cn_ops.operation import Operation
from cn_ops.postgres.creation import create
from cn_ops.postgres.load import analyze, load
from cn_ops.postgres.session import maintenance_database, session


def recreate(operation: Operation, wanted: Recreation, said: Callable[[str], None]) -> None:
    """Drop the database, make it again, load the dump and analyze it.

    The record stays until ``finished``: a loaded database is not a verified one. An error says what is left.
    """
    operation.intend(recreating=wanted)
    try:
        said("drop and create")
        _drop_and_create(operation, wanted)
        said("load")
        load(operation.stack, wanted.database, Path(wanted.dump))
        said("analyze")
        with session(operation.stack, wanted.database) as connection:
            analyze(connection)
    except KeyboardInterrupt:
        raise _with_state(operation, wanted, Interrupted("interrupted while restoring")) from None
    except OpsError as error:
        raise _with_state(operation, wanted, error) from error


def verify(operation: Operation, recorded: Recreation) -> int | None:
    """Count what is there now and compare; return the rows, or None when there is nothing to compare with.

    Raises ``VerificationFailed`` for any difference.
    """
    if recorded.expected_rows is None:
        return None
    with session(operation.stack, recorded.database) as connection:
        rows = db.count_rows(connection, recorded.counted_table)
    if rows != recorded.expected_rows:
        raise VerificationFailed(
            f"{recorded.counted_table} has {rows} rows after the restore, and had {recorded.expected_rows}",
            state=f"the database {recorded.database!r} is restored but not equal, its writers are stopped",
            hint="restore another generation: `inv restore --dump=…`; `inv backups` lists them",
        )
    return rows


def finished(operation: Operation) -> None:
    """Take the database off the record: it is what it should be."""
    operation.intend(recreating=None)


def speaks_of(operation: Operation, recorded: Recreation) -> bool:
    """Whether what is there now, or that nothing is, is what the record speaks of."""
    with session(operation.stack, maintenance_database(recorded.database)) as connection:
        if db.system_identifier(connection) != recorded.system_identifier:
            return False
        if not db.exists(connection, recorded.database):
            return True
        there = db.identity(connection, recorded.database).database_oid
        if not db.is_valid(connection, recorded.database):
            return there in (recorded.old_oid, recorded.new_oid)
    # Killed between its making and its record, the new one is known by being empty.
    made = recorded.new_oid is None and there != recorded.old_oid and _is_empty(operation, recorded.database)
    return made or there == recorded.new_oid or (recorded.damaged and there == recorded.old_oid)


def is_ours(operation: Operation, recorded: Recreation) -> bool:
    """Whether making anew what the record speaks of loses nothing.

    Raises ``OperationFailed`` when a writer works on it: somebody has gone on by hand.
    """
    if not speaks_of(operation, recorded):
        return False
    at_work = [name for name in operation.stack.writers if name in operation.stack.running()]
    if at_work:
        raise OperationFailed(
            f"an earlier restore of {recorded.database!r} has not ended well, and {', '.join(at_work)} runs on it",
            state="nothing was changed; that database may be damaged or half restored",
            hint=f"stop it (`inv stack.down`), or restore by name: `inv restore --dump={recorded.dump}`",
        )
    return True


def _drop_and_create(operation: Operation, wanted: Recreation) -> None:
    with session(operation.stack, maintenance_database(wanted.database)) as connection:
        db.drop(connection, wanted.database)
        create(connection, wanted.database, wanted.properties)
        made = db.identity(connection, wanted.database).database_oid
    operation.intend(recreating=replace(wanted, new_oid=made))


def _with_state(operation: Operation, wanted: Recreation, error: OpsError) -> OpsError:
    if not wanted.damaged and _is_untouched(operation, wanted):
        finished(operation)
        return error.with_state(f"the database {wanted.database!r} is as it was")
    return error.with_state(
        f"the database {wanted.database!r} is damaged, dropped or half restored, and its writers are stopped; "
        f"the dump {wanted.dump} is good"
    ).with_hint(f"mend the cause; then `inv restore --dump={wanted.dump}`, or any other command, restores it")


def _is_untouched(operation: Operation, wanted: Recreation) -> bool:
    with suppress(OpsError), session(operation.stack, maintenance_database(wanted.database)) as connection:
        if db.exists(connection, wanted.database):
            is_old = db.identity(connection, wanted.database).database_oid == wanted.old_oid
            return is_old and db.is_valid(connection, wanted.database)
    return False


def _is_empty(operation: Operation, database: str) -> bool:
    with session(operation.stack, database) as connection:
        return db.is_empty(connection)
