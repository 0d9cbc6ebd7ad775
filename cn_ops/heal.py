"""Finish or undo what a killed command left, as its journal says."""

from __future__ import annotations

import shlex
from pathlib import Path

from cn_ops.beside import open_databases, restore_incoming, settle, swap, verify_incoming
from cn_ops.errors import OperationFailed
from cn_ops.files import sha256
from cn_ops.generations import folder_lock
from cn_ops.model import Recreation
from cn_ops.operation import Operation
from cn_ops.postgres.load import end_tool_sessions
from cn_ops.postgres.scratch import drop_left_scratch
from cn_ops.postgres.server_lock import server_lock
from cn_ops.postgres.session import maintenance_database, session
from cn_ops.recreate import is_ours, recreate, verify_recreated
from cn_ops.replacement import finished, is_another_cluster, refuse_writers, speaks_of, writers_state
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
        if left.closed:
            operation.stack.start_postgres()
            open_databases(operation, left.closed)
        if left.recreating:
            said.append(_heal_database(operation, left.recreating))
        if left.stopped and not left.started_stack:
            said.append(f"started {', '.join(start_writers(operation))}")
        if not keep_stack:
            said += put_back(operation)
        step.detail = "; ".join(said) or "the stack that it had started is kept"
    return True


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
    """End what a killed command's tools still do in the server, and drop what was scratch to it.

    The caller holds the stack's lock.
    """
    with session(operation.stack, maintenance_database(operation.database)) as connection:
        ended = end_tool_sessions(connection)
        drop_left_scratch(connection, operation.database)
        if ended:
            operation.phases.warn(f"ended {ended} sessions of tools that a killed command had left in the server")


def _heal_database(operation: Operation, recorded: Recreation) -> str:
    operation.stack.start_postgres()
    if is_another_cluster(operation, recorded):
        finished(operation)
        operation.phases.warn(
            f"the database {recorded.database!r} was being restored, and this is another cluster: if it is to be "
            f"restored here, `inv restore --dump={shlex.quote(recorded.dump)}` does it"
        )
        return "left the databases of another cluster alone"
    with folder_lock(operation.settings.backup.directory, operation.name):  # nobody may prune the dump now
        # What came in beside is finished or dropped while others may back up: a live database that is whole stays so.
        state = settle(operation)
        if recorded.incoming and not speaks_of(operation, recorded):
            finished(operation)
            return state
        with server_lock(operation.stack, recorded.database):
            end_left_sessions(operation)
            heal_it = _heal_beside if recorded.incoming else _heal_in_place
            return heal_it(operation, recorded)


def _heal_in_place(operation: Operation, recorded: Recreation) -> str:
    if recorded.loaded and speaks_of(operation, recorded):
        # Somebody may have written to it since: it is proven, and never dropped.
        verify_recreated(operation, recorded, lambda _: None)
        finished(operation)
        return f"proved {recorded.database!r}, restored from {Path(recorded.dump).name}"
    if not is_ours(operation, recorded):
        finished(operation)
        return f"left the database {recorded.database!r} as it is"
    _require_dump(operation, recorded)
    recreate(operation, recorded, lambda _: None)
    verify_recreated(operation, recorded, lambda _: None)
    finished(operation)
    return f"restored {recorded.database!r} from {Path(recorded.dump).name}"


def _heal_beside(operation: Operation, recorded: Recreation) -> str:
    """Restore what was not whole before."""
    refuse_writers(operation, recorded)
    _require_dump(operation, recorded)
    made = restore_incoming(operation, recorded, lambda _: None)
    verify_incoming(operation, made, lambda _: None)
    swap(operation, made)
    finished(operation)
    return f"restored {recorded.database!r} from {Path(recorded.dump).name}"


def _require_dump(operation: Operation, recorded: Recreation) -> None:
    dump = Path(recorded.dump)
    if not dump.is_file() or sha256(dump) != recorded.sha256:
        raise OperationFailed(
            f"the dump {dump} that {recorded.database!r} was being restored from is gone or has changed",
            state=f"the database {recorded.database!r} is damaged, dropped or half restored"
            f"{writers_state(operation)}",
            hint="restore another: `inv restore --dump=…`; `inv backups` lists what there is",
        )
