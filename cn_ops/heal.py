"""Finish or undo what a killed command left, as its journal says."""

from __future__ import annotations

import shlex
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from cn_ops.beside import ANOTHER, restore_incoming, settle, swap, verify_incoming
from cn_ops.errors import MEND, LockHeld, OperationFailed, OpsError, VerificationFailed
from cn_ops.exchange import open_databases
from cn_ops.files import lock, refused
from cn_ops.generations import folder_lock
from cn_ops.model import Recreation
from cn_ops.operation import Operation, verify_lock_path
from cn_ops.postgres.orphans import end_orphans
from cn_ops.postgres.scratch import drop_left_scratch
from cn_ops.postgres.server_lock import server_lock
from cn_ops.postgres.session import maintenance_database, session
from cn_ops.record import (
    finished,
    has_incoming,
    is_another_cluster,
    is_dump_there,
    refuse_writers,
    speaks_of,
    writers_state,
)
from cn_ops.replacement import names_beside
from cn_ops.writers import start_writers


def heal(operation: Operation, *, keep_stack: bool = False) -> bool:
    """Heal, if there is anything to heal; return whether there was.

    ``keep_stack`` leaves a stack that the killed command had started to the caller, who goes on with it.
    """
    left = operation.journal.read()
    if left is None:
        return False
    operation.phases.warn(f"`{left.operation}` (process {left.pid}) did not come to its end: healing what it left")
    with operation.phases.phase("heal") as step:
        said = []
        if left.closed or left.recreating:
            operation.start_server()
            end_left_sessions(operation)  # before anything is judged: what they wait for would be done later
        if left.closed:
            open_databases(operation, left.closed)
            said.append(f"opened {', '.join(left.closed)}")
        if left.recreating:
            said.append(_heal_database(operation, left.recreating))
        if left.stopped and not left.started_stack:
            said.append(f"started {', '.join(start_writers(operation))}")
        if not keep_stack:
            said += put_back(operation)
        step.detail = "; ".join(said) or "the stack that it had started is kept"
    return True


def end_scratch(operation: Operation) -> bool:
    """Remove the scratch server of a verification that was killed, not that of one which is at work."""
    try:
        with lock(verify_lock_path(operation.settings, operation.stack), operation.name):
            return operation.stack.end_scratch()
    except LockHeld:
        return False


def put_back(operation: Operation) -> list[str]:
    """Stop what the operation, or the killed one before it, had started; say what was done."""
    record = operation.journal.read()
    if record and record.started_stack:
        operation.stack.down(volumes=False)
        operation.intend(started_stack=False, started=(), stopped=())
        return ["took the stack down"]
    if record and record.started:
        known = (operation.server, *operation.stack.writers)
        operation.stack.stop(tuple(name for name in record.started if name in known))
        operation.intend(started=())
        return [f"stopped {', '.join(record.started)}"]
    return []


def end_left_sessions(operation: Operation) -> None:
    """End what a killed command and its tools still do in the server, and drop what was scratch to it.

    The caller holds the stack's lock.
    """
    with session(operation.stack, maintenance_database(operation.database)) as connection:
        ended = end_orphans(connection)
        drop_left_scratch(connection, operation.database)
        if ended:
            operation.phases.warn(f"ended {ended} sessions that a killed command had left in the server")


def _heal_database(operation: Operation, recorded: Recreation) -> str:
    if is_another_cluster(operation, recorded):
        finished(operation)
        operation.phases.warn(
            f"the database {recorded.database!r} was being restored, and this is another cluster: if it is to be "
            f"restored here, `inv restore --dump={shlex.quote(recorded.dump)}` does it"
        )
        return "left the databases of another cluster alone"
    # Nobody may prune the dump now.
    with folder_lock(operation.settings.backup.directory, operation.name, reading=True):
        # What came in beside is finished or dropped while others may back up: a live database that is whole stays so.
        state = settle(operation)
        if not speaks_of(operation, recorded):
            return state
        with server_lock(operation.stack, recorded.database):
            if not is_dump_there(recorded):
                kept = f"; what came back of it is kept as {recorded.incoming!r}"
                raise OperationFailed(
                    f"the dump {recorded.dump} is gone or has changed, and {recorded.database!r} was being restored "
                    "from it",
                    state=f"{state}{writers_state(operation)}{kept if has_incoming(operation, recorded) else ''}",
                    hint=ANOTHER,
                )
            return _restored(operation, recorded)


def _restored(operation: Operation, recorded: Recreation) -> str:
    # Reading the dump has taken its time.
    if not speaks_of(operation, recorded):
        return settle(operation)
    refuse_writers(operation, recorded)
    with session(operation.stack, maintenance_database(recorded.database)) as connection:
        incoming, previous = names_beside(connection, recorded.database)
    try:
        made = restore_incoming(operation, replace(recorded, incoming=incoming, previous=previous), lambda _: None)
        verify_incoming(operation, made, lambda _: None)
        aside = swap(operation, made)
    except (OpsError, OSError) as error:
        failure = error if isinstance(error, OpsError) else refused(error)
        if not isinstance(failure, VerificationFailed):
            failure.state = ""  # what a tool or the stack says is of itself, and not of the databases
        with suppress(OpsError):
            failure.with_state(f"{settle(operation)}{writers_state(operation)}")
        failure.with_hint(f"{MEND}`inv heal`")
        if ANOTHER not in failure.hint:
            failure.hint += f"; or {ANOTHER}"
        raise failure from error
    finished(operation)
    kept = f"; what had its name is {aside!r}" if aside else ""
    return f"restored {recorded.database!r} from {Path(recorded.dump).name}{kept}"
