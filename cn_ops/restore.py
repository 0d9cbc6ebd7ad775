"""Restore the live database from a dump, everything checked before anything is touched."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cn_ops.postgres.database as db
from cn_ops.beside import restore_incoming, settle, swap, undo, verify_incoming
from cn_ops.errors import RUN_AGAIN, Interrupted, MissingError, OpsError, UsageError, saying
from cn_ops.fingerprint import Comparison
from cn_ops.generations import folder_lock, read_catalogue
from cn_ops.heal import end_left_sessions
from cn_ops.http_probes import ask_probes
from cn_ops.model import Recreation, RestoreResult
from cn_ops.operation import Operation
from cn_ops.phases import Step
from cn_ops.postgres.session import maintenance_database, session
from cn_ops.postgres.tools import check_tools
from cn_ops.recreate import recreate, verify_recreated
from cn_ops.replacement import finished, oid_of, plan_recreation
from cn_ops.source import Source, check_source, find_source, foreign_database
from cn_ops.text import readable_bytes
from cn_ops.writers import start_unless_recreating, start_writers, stop_writers


@dataclass(frozen=True)
class Plan:
    """What a restore is about to do, after every check.

    Sizes in bytes, ``size_now`` null for no database, ``free_bytes`` null when it cannot be known.
    """

    source: Source
    recreation: Recreation
    dump_bytes: int
    size_now: int | None
    free_bytes: int | None
    writers: tuple[str, ...]


Confirm = Callable[[Plan], None]


def restore(
    operation: Operation, wanted: str, cwd: Path, confirm: Confirm, *, force_version: bool = False
) -> RestoreResult:
    """Restore what `--dump` names; ``confirm`` raises to stop before anything is touched.

    ``force_version`` lets client tools of a newer major version than the server's try it.
    Takes over what an earlier restore left: its database is made anew, its writers are started at the end.
    """
    with folder_lock(operation.settings.backup.directory, operation.name):
        _require_server(operation)
        settle(operation)
        plan = plan_restore(operation, wanted, cwd, force_version=force_version)
        confirm(plan)
        try:
            end_left_sessions(operation)
            way = _beside if plan.recreation.incoming else _in_place
            comparison, previous = way(operation, plan)
        except (OpsError, KeyboardInterrupt) as error:
            raise _failed(operation, error, plan.recreation.old_oid) from error
    restarted = _start_writers(operation)
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


def plan_restore(operation: Operation, wanted: str, cwd: Path, *, force_version: bool = False) -> Plan:
    """Check the dump, the server and the space. Nothing is touched, but a server that was down is started."""
    with operation.phases.phase("check") as step, saying("nothing was changed", RUN_AGAIN):
        source = find_source(operation.settings.backup, wanted, cwd)
        if wanted == "latest":
            _warn_of_passed_over(operation)
        if foreign := foreign_database(source, operation.database, wanted):
            operation.phases.warn(foreign)
        _require_server(operation)
        check_tools(operation.stack, restoring=True, force=force_version)
        checked = check_source(operation.stack, source, step.advanced_bytes)
        recreation = plan_recreation(operation, source, checked.archive.sha256)
        plan = _plan(operation, source, recreation, checked.archive.size_bytes)
        _check_space(operation, plan)
        step.detail = f"{source.path.name}, {readable_bytes(plan.dump_bytes)}"
        _warn_of_writers(operation)
    if source.manifest is None:
        operation.phases.warn(f"{source.path.name} has no manifest: it can be read, but what was in it is not known")
    return plan


def undo_restore(operation: Operation) -> tuple[str, str | None]:
    """Swap the newest previous database back in; return its name, and the one that the live one has now, if any."""
    before = oid_of(operation, operation.database)
    try:
        with operation.phases.phase("stop writers") as step:
            step.detail = ", ".join(stop_writers(operation)) or "none runs"
        with operation.phases.phase("swap"):
            names = undo(operation)
    except (OpsError, KeyboardInterrupt) as error:
        raise _failed(operation, error, before) from error
    _start_writers(operation)
    return names


def _require_server(operation: Operation) -> None:
    if operation.server not in operation.stack.running():
        operation.phases.warn(f"the server {operation.server} did not run: it is started and stays up")
        operation.stack.start_postgres()


def _warn_of_passed_over(operation: Operation) -> None:
    settings = operation.settings.backup
    for one in read_catalogue(settings.directory, settings.prefix).passed_over:
        operation.phases.warn(f"the newer generation {one.id} is damaged, and an older one is taken: {one.problem}")


def _start_writers(operation: Operation) -> tuple[str, ...]:
    with operation.phases.phase("start writers") as step:
        try:
            restarted = start_writers(operation)
        except OpsError as error:
            error.with_state(
                f"the database {operation.database!r} is restored; not all of its writers run and are healthy"
            ).with_hint("mend the cause; then `inv heal`, or any other command, starts them")
            raise
        step.detail = ", ".join(restarted) or "none ran before"
    return restarted


def _warn_of_writers(operation: Operation) -> None:
    """Say what nobody will stop, and whose sessions cannot be ended: better known before than at the swap."""
    if not operation.stack.writers:
        operation.phases.warn(
            "no service is stopped, for stack.server.stop and stack.server.start are not set: what is written until "
            "the swap goes to the old database, and every session there is ended then"
        )
    with session(operation.stack, maintenance_database(operation.database)) as connection:
        roles = db.out_of_reach(connection, operation.database)
        if roles:
            operation.phases.warn(
                f"the role {connection.info.user!r} may not end the sessions of {', '.join(roles)}: unless they are "
                "gone by then, the swap is refused and nothing is changed"
            )


def _beside(operation: Operation, plan: Plan) -> tuple[Comparison | None, str | None]:
    """Restore beside the live database, prove it, and swap; return what was compared, and the old one's name."""
    phases, database = operation.phases, operation.database
    with phases.phase("restore") as step:
        made = restore_incoming(operation, plan.recreation, step.advanced)
        step.detail = made.target
    with phases.phase("verify") as step:
        comparison = verify_incoming(operation, made, step.advanced)
        report_comparison(step, comparison)
    with phases.phase("stop writers") as step:
        step.detail = ", ".join(stop_writers(operation)) or "none runs"
    with phases.phase("swap") as step:
        previous = swap(operation, made)
        finished(operation)
        step.detail = f"{database} is the restored one" + (f", {previous} the old one" if previous else "")
    return comparison, previous


def _in_place(operation: Operation, plan: Plan) -> tuple[Comparison | None, None]:
    """Drop the live database and make it anew, the old contract; return what was compared. No old one is left."""
    with operation.phases.phase("stop writers") as step:
        step.detail = ", ".join(stop_writers(operation)) or "none runs"
    with operation.phases.phase("restore") as step:
        recreate(operation, plan.recreation, step.advanced)
    with operation.phases.phase("verify") as step:
        comparison = verify_recreated(operation, plan.recreation, step.advanced)
        report_comparison(step, comparison)
        finished(operation)
    return comparison, None


def report_comparison(step: Step, comparison: Comparison | None) -> None:
    """Say what was compared, or that nothing could be."""
    if comparison is None:
        step.skip("no manifest says what was in the dump")
        return
    left_out = f"; left out on purpose: {', '.join(comparison.stripped)}" if comparison.stripped else ""
    step.detail = f"{comparison.tables} tables, {comparison.rows} rows and the schema are equal{left_out}"


def _failed(operation: Operation, error: OpsError | KeyboardInterrupt, before: int | None) -> OpsError:
    """Put back what can be put back, and say what everything is in."""
    failure = error if isinstance(error, OpsError) else Interrupted("interrupted while restoring")
    failure.with_hint(RUN_AGAIN)
    with suppress(OpsError):
        settled = settle(operation)
        record = operation.journal.read()
        if record is None or record.recreating is None:
            # What is on record may be gone already, and the error be about that: only the oid tells which one it is.
            is_same = oid_of(operation, operation.database) == before
            now = "as it was" if is_same else "the one that was to take its place"
            failure.with_state(settled or f"the database {operation.database!r} is {now}")
    failure.with_state(f"the state of the database {operation.database!r} is not known: `inv heal` sets it right")
    try:
        start_unless_recreating(operation)
    except OpsError as second:
        failure.state += f"; the writers do not all run ({second.message}): `inv heal` starts them"
    return failure


def _plan(operation: Operation, source: Source, recreation: Recreation, dump_bytes: int) -> Plan:
    stack = operation.stack
    with session(stack, maintenance_database(operation.database)) as connection:
        if not db.may_create_databases(connection):
            raise UsageError(
                f"the role {connection.info.user!r} may not create databases",
                state="nothing was changed",
                hint="a superuser can grant it: ALTER ROLE … CREATEDB",
            )
        size_now = db.size_bytes(connection, operation.database) if recreation.old_oid else None
    running = stack.running()
    return Plan(
        source=source,
        recreation=recreation,
        dump_bytes=dump_bytes,
        size_now=size_now,
        free_bytes=stack.free_bytes(),
        writers=tuple(name for name in stack.writers if name in running),
    )


def _check_space(operation: Operation, plan: Plan) -> None:
    manifest = plan.source.manifest
    needed = manifest.database_size_bytes if manifest else plan.dump_bytes
    if plan.free_bytes is None:
        operation.phases.warn(
            f"the free space of the server is not known: the restored database needs {readable_bytes(needed)}"
        )
        return
    # Beside the old database both need room; in its place, the old one goes before the new one comes.
    there = plan.free_bytes + (0 if plan.recreation.incoming else plan.size_now or 0)
    if needed > there:
        smaller = "; --strategy=recreate needs no room for two" if plan.recreation.incoming else ""
        raise MissingError(
            f"the restored database needs {readable_bytes(needed)}; the server has room for {readable_bytes(there)}",
            state="nothing was changed",
            hint=f"free some space where the server keeps its data{smaller}",
        )
