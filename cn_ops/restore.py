"""Restore the live database from a dump, everything checked before anything is touched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cn_ops.postgres.database as db
from cn_ops.errors import MissingError, OpsError, UsageError
from cn_ops.generations import folder_lock, read_catalogue
from cn_ops.heal import end_left_sessions
from cn_ops.model import Manifest, Recreation, RestoreResult
from cn_ops.operation import Operation
from cn_ops.postgres.session import maintenance_database, session
from cn_ops.recreate import finished, recreate, speaks_of, verify
from cn_ops.source import CheckedSource, Source, check_source, find_source
from cn_ops.text import readable_bytes
from cn_ops.writers import start_unless_recreating, start_writers, stop_writers

RESTORE_PHASES = ("check", "stop writers", "restore", "verify", "start writers")


@dataclass(frozen=True)
class Plan:
    """What a restore is about to do, after every check; sizes in bytes, ``size_now`` null for no database."""

    source: Source
    recreation: Recreation
    dump_bytes: int
    size_now: int | None
    free_bytes: int
    writers: tuple[str, ...]


Confirm = Callable[[Plan], None]


def restore(operation: Operation, wanted: str, cwd: Path, confirm: Confirm) -> RestoreResult:
    """Restore what `--dump` names; ``confirm`` raises to stop before anything is touched.

    Takes over what an earlier restore left: its database is made anew, its writers are started at the end.
    """
    with folder_lock(operation.settings.backup.directory, operation.name):
        plan = plan_restore(operation, wanted, cwd)
        confirm(plan)
        end_left_sessions(operation)
        rows = _replace_database(operation, plan.recreation)
    restarted = _start_writers(operation)
    # What a killed drill had started is a restored node's from now on: nothing takes it down any more.
    operation.intend(started=(), started_stack=False)
    generation = plan.source.generation
    return RestoreResult(
        source=plan.source.path,
        generation=generation.id if generation else None,
        database=operation.database,
        counted_table=plan.recreation.counted_table,
        expected_rows=plan.recreation.expected_rows,
        restored_rows=rows,
        restarted=restarted,
        phases=operation.phases.done,
        warnings=operation.phases.warnings,
    )


def plan_restore(operation: Operation, wanted: str, cwd: Path) -> Plan:
    """Check the dump, the server and the space. Nothing is touched, but a server that was down is started."""
    with operation.phases.phase("check") as step:
        source = find_source(operation.settings.backup, wanted, cwd)
        if wanted == "latest":
            _warn_of_passed_over(operation)
        if operation.server not in operation.stack.running():
            operation.phases.warn(f"the server {operation.server} did not run: it is started and stays up")
            operation.stack.start_postgres()
        checked = check_source(operation, source, step.advanced_bytes)
        plan = _plan(operation, checked)
        _check_space(plan)
        step.detail = f"{source.path.name}, {readable_bytes(plan.dump_bytes)}"
    if source.manifest is None:
        operation.phases.warn(f"{source.path.name} has no manifest: it can be read, but what was in it is not known")
    return plan


def plan_recreation(operation: Operation, dump: Path, sha256: str, manifest: Manifest | None) -> Recreation:
    """Say what is to be made anew, from what, and with which properties.

    A database that an earlier command left half made keeps the properties on record, and stays on record as damaged.
    """
    database = operation.database
    unfinished = _unfinished(operation)
    with session(operation.stack, maintenance_database(database)) as connection:
        there = db.identity(connection, database) if db.exists(connection, database) else None
        if unfinished:
            properties = unfinished.properties
        elif there:
            properties = db.properties(connection, database)
        elif manifest:
            properties = manifest.properties
        else:
            properties = db.default_properties(connection, operation.settings.stack.postgres.user)
        if missing := db.missing_roles(connection, properties):
            raise _no_roles(database, missing, manifest)
        return Recreation(
            dump=str(dump),
            sha256=sha256,
            database=database,
            system_identifier=db.system_identifier(connection),
            properties=properties,
            counted_table=manifest.counted_table if manifest else operation.settings.drill.count_table,
            expected_rows=manifest.counted_rows if manifest else None,
            old_oid=there.database_oid if there else None,
            damaged=bool(unfinished and there),
        )


def _unfinished(operation: Operation) -> Recreation | None:
    """Return what a killed command was making of the database that is there now, or of the one that is not."""
    left = operation.journal.read()
    recorded = left.recreating if left else None
    return recorded if recorded and speaks_of(operation, recorded) else None


def _replace_database(operation: Operation, recreation: Recreation) -> int | None:
    try:
        with operation.phases.phase("stop writers") as step:
            step.detail = ", ".join(stop_writers(operation)) or "none runs"
        with operation.phases.phase("restore") as step:
            recreate(operation, recreation, step.advanced)
        with operation.phases.phase("verify") as step:
            rows = verify(operation, recreation)
            if rows is None:
                step.skip("no manifest says what was in the dump")
            else:
                step.detail = f"{rows} rows in {recreation.counted_table}"
    except BaseException:
        start_unless_recreating(operation)
        raise
    finished(operation)
    return rows


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


def _no_roles(database: str, missing: tuple[str, ...], manifest: Manifest | None) -> UsageError:
    globals_file = manifest.globals_file if manifest else None
    with_psql = f" with psql from {globals_file}, beside the dump," if globals_file else ""
    return UsageError(
        f"the database {database!r} belongs to roles that this server does not have: {', '.join(missing)}",
        state="nothing was changed",
        hint=f"make them{with_psql} or by CREATE ROLE, then restore again",
    )


def _warn_of_passed_over(operation: Operation) -> None:
    settings = operation.settings.backup
    for one in read_catalogue(settings.directory, settings.prefix).passed_over:
        operation.phases.warn(f"the newer generation {one.id} is damaged, and an older one is taken: {one.problem}")


def _plan(operation: Operation, checked: CheckedSource) -> Plan:
    stack = operation.stack
    source, archive = checked.source, checked.archive
    recreation = plan_recreation(operation, source.path, archive.sha256, source.manifest)
    with session(stack, maintenance_database(operation.database)) as connection:
        if not db.may_create_databases(connection):
            raise UsageError(
                f"the role {operation.settings.stack.postgres.user!r} may not create databases",
                state="nothing was changed",
                hint="a superuser can grant it: ALTER ROLE … CREATEDB",
            )
        size_now = db.size_bytes(connection, operation.database) if recreation.old_oid else None
    running = stack.running()
    return Plan(
        source=checked.source,
        recreation=recreation,
        dump_bytes=checked.archive.size_bytes,
        size_now=size_now,
        free_bytes=stack.free_bytes(),
        writers=tuple(name for name in stack.writers if name in running),
    )


def _check_space(plan: Plan) -> None:
    manifest = plan.source.manifest
    needed = manifest.database_size_bytes if manifest else plan.dump_bytes
    # The old database goes before the new one comes.
    there = plan.free_bytes + (plan.size_now or 0)
    if needed > there:
        raise MissingError(
            f"the restored database needs {readable_bytes(needed)}; the server has room for {readable_bytes(there)}",
            state="nothing was changed",
            hint="free some space where the server keeps its data",
        )
