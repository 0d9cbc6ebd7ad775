"""Restore the live database from a dump, everything checked before anything is touched."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from cn_ops.beside import newest_previous, restore_incoming, settle, swap, undo, verify_incoming
from cn_ops.errors import MEND, RUN_AGAIN, Interrupted, OperationFailed, OpsError, VerificationFailed, saying
from cn_ops.files import refused
from cn_ops.fingerprint import Comparison
from cn_ops.generations import folder_lock
from cn_ops.heal import end_left_sessions
from cn_ops.http_probes import ask_probes
from cn_ops.model import RestoreResult
from cn_ops.operation import Operation
from cn_ops.phases import Step
from cn_ops.postgres.server_lock import server_lock
from cn_ops.record import finished, oid_of, refuse_another_s, writers_state
from cn_ops.restore_plan import HEALED_ONLY, Plan, look_at_dump, not_unchanged, plan_restore, server_up
from cn_ops.writers import start_unless_recreating, start_writers, stop_writers

Confirm = Callable[[Plan], None]


def restore(
    operation: Operation, wanted: str, cwd: Path, confirm: Confirm, *, force_version: bool = False
) -> RestoreResult:
    """Restore what `--dump` names; ``confirm`` raises to stop before anything is touched.

    ``force_version`` lets client tools of a newer major version than the server's try it.
    Takes over what an earlier restore left: its database is made anew, its writers are started at the end.
    """
    with folder_lock(operation.settings.backup.directory, operation.name, reading=True), ExitStack() as held:
        look_at_dump(operation, wanted, cwd)
        with saying(f"this command has not touched the database {operation.database!r}", RUN_AGAIN):
            held.enter_context(server_up(operation))
            if operation.journal.read():
                held.enter_context(not_unchanged(HEALED_ONLY))
            _take_over(operation, held)
        plan = plan_restore(operation, wanted, cwd, force_version=force_version)
        confirm(plan)
        plan.require_unchanged()  # a person may have taken hours to confirm
        before = oid_of(operation, operation.database)
        try:
            comparison, previous = _replace(operation, plan)
        except (OpsError, OSError, KeyboardInterrupt) as error:
            raise _failed(operation, error, before) from error
    restarted = _start_writers(operation, "restored")
    # What a killed drill had started is a restored node's from now on: nothing takes it down any more.
    operation.intend(started=(), started_stack=False)
    if restarted:
        ask_probes(operation, state=f"the database {operation.database!r} is restored, and its writers run")
    generation = plan.source.generation
    return RestoreResult(
        source=plan.source.path,
        generation=generation.id if generation else None,
        database=operation.database,
        tables=comparison.tables if comparison else None,
        rows=comparison.rows if comparison else None,
        stripped=comparison.stripped if comparison else (),
        previous=previous,
        restarted=restarted,
        phases=operation.phases.done,
        warnings=operation.phases.warnings,
    )


def undo_restore(operation: Operation, confirmed: str | None = None) -> tuple[str, str | None]:
    """Swap the newest previous database back in; return its name, and the one that the live one has now, if any.

    Raises ``OperationFailed`` when it is not the one that was confirmed any more.
    Takes over what a killed or failed restore left: a live database that is not whole need not be restored for it.
    """
    with ExitStack() as held:
        with saying("nothing was changed", RUN_AGAIN):
            _take_over(operation, held)
            previous = newest_previous(operation)
            if confirmed not in (None, previous):
                raise OperationFailed(f"{confirmed!r} is not the newest previous database any more")
        return previous, _undone(operation, previous)


def _take_over(operation: Operation, held: ExitStack) -> None:
    """Lock the database in the server, and settle what an earlier command has left of it."""
    held.enter_context(server_lock(operation.stack, operation.database))
    refuse_another_s(operation)
    end_left_sessions(operation)
    settle(operation)


def _undone(operation: Operation, previous: str) -> str | None:
    before = oid_of(operation, operation.database)
    try:
        _stop_writers(operation)
        with operation.phases.phase("swap"):
            undone = undo(operation, previous)
            finished(operation)
    except (OpsError, KeyboardInterrupt) as error:
        raise _failed(operation, error, before) from error
    _start_writers(operation, "the one from before the restore")
    operation.intend(started=(), started_stack=False)
    return undone


def _start_writers(operation: Operation, done: str) -> tuple[str, ...]:
    state = f"the database {operation.database!r} is {done}; not all of its writers run and are healthy"
    with operation.phases.phase("start writers") as step, saying(state, f"{MEND}`inv heal` starts them"):
        restarted = start_writers(operation)
        step.detail = ", ".join(restarted) or "none ran before"
    return restarted


def _replace(operation: Operation, plan: Plan) -> tuple[Comparison | None, str | None]:
    """Make the new database, prove it, swap it in; return what was compared, and the old one's name if it is kept."""
    phases, database, wanted = operation.phases, operation.database, plan.recreation
    if wanted.drop_first:
        _stop_writers(operation)
    with phases.phase("restore") as step:
        made = restore_incoming(operation, wanted, step.advanced)
        step.detail = made.incoming
    with phases.phase("verify") as step:
        comparison = verify_incoming(operation, made, step.advanced)
        report_comparison(step, comparison)
    if not wanted.drop_first:
        _stop_writers(operation)
    with phases.phase("swap") as step:
        previous = swap(operation, made)
        finished(operation)
        step.detail = f"{database} is the restored one" + (f", {previous} the old one" if previous else "")
    return comparison, previous


def _stop_writers(operation: Operation) -> None:
    with operation.phases.phase("stop writers") as step:
        step.detail = ", ".join(stop_writers(operation)) or "none runs"


def report_comparison(step: Step, comparison: Comparison | None) -> None:
    """Say what was compared, or that nothing could be."""
    if comparison is None:
        step.skip("no manifest says what was in the dump")
        return
    left_out = f"; left out on purpose: {', '.join(comparison.stripped)}" if comparison.stripped else ""
    step.detail = f"{comparison.tables} tables, {comparison.rows} rows and the schema are equal{left_out}"


def _failed(operation: Operation, error: OpsError | OSError | KeyboardInterrupt, before: int | None) -> OpsError:
    """Put back what can be put back, and say what everything is in."""
    if isinstance(error, OSError):
        error = refused(error)
    failure = error if isinstance(error, OpsError) else Interrupted("interrupted while restoring")
    failure.with_hint(RUN_AGAIN.removeprefix(MEND) if isinstance(failure, Interrupted) else RUN_AGAIN)
    if not isinstance(failure, VerificationFailed):
        failure.state = ""  # what a tool or the stack says is of itself, and not of the databases
    with suppress(OpsError):
        settled = settle(operation)
        record = operation.journal.read()
        if record is None or record.recreating is None:
            # What is on record may be gone already, and the error be about that: only the oid tells which one it is.
            is_same = oid_of(operation, operation.database) == before
            now = "as it was" if is_same else "the one that was to take its place"
            failure.with_state(settled or f"the database {operation.database!r} is {now}")
        elif settled:
            now = f"{settled}{writers_state(operation)}"
            failure.with_state(f"{now}; `inv heal` restores it, as long as its dump and manifest are there")
    failure.with_state(f"the state of the database {operation.database!r} is not known: `inv heal` sets it right")
    try:
        start_unless_recreating(operation)
    except OpsError as second:
        failure.state += f"; the writers do not all run ({second.message}): `inv heal` starts them"
    return failure
