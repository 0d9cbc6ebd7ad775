"""The phases of a drill, each a plain function; `cn_ops.drill` says in which order they run."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import cn_ops.postgres.database as db
from cn_ops.application import Page, read_page, wait_healthy
from cn_ops.backup import backup
from cn_ops.errors import OperationFailed, UsageError, VerificationFailed
from cn_ops.faults import truncate_tables
from cn_ops.heal import end_left_sessions, put_back
from cn_ops.model import BackupResult, Generation, Identity, Recreation
from cn_ops.operation import Operation
from cn_ops.phases import Phases, Within
from cn_ops.postgres.session import session
from cn_ops.recreate import finished, recreate, verify
from cn_ops.restore import plan_recreation
from cn_ops.seed import Seeded, run_cleanup, run_seed
from cn_ops.source import Source, check_source
from cn_ops.writers import start_writers, stop_writers


@dataclass(frozen=True)
class DrillOptions:
    """What a drill can be asked: ``events`` is the seed's size, null for its own."""

    build: bool = True
    keep: bool = False
    events: int | None = None


@dataclass
class Measured:
    """What has been measured so far; None is what has not."""

    baseline_rows: int | None = None
    damaged_rows: int | None = None
    restored_rows: int | None = None
    rows_lost: int | None = None
    entries_before: int | None = None
    entries_after: int | None = None
    rto_seconds: float | None = None
    fault_at: float | None = None
    base_url: str | None = None
    dump: Path | None = None
    server_version: str | None = None
    tool_version: str | None = None


def require_disposable(operation: Operation) -> None:
    """Refuse a stack whose data may not be destroyed."""
    if not operation.disposable:
        raise UsageError(
            f"this stack ({operation.stack.name}) is not disposable, and a drill destroys its data",
            state="nothing was started or changed",
            hint="set stack.disposable: true only for a stack that holds nothing of value, or use --stack=embedded",
        )


def bring_up(operation: Operation, options: DrillOptions, measured: Measured) -> None:
    """Build the images and start the server and the writers, on record what ran before."""
    stack = operation.stack
    with operation.phases.phase("up") as step:
        stack.preflight()
        running = stack.running()
        wanted = (operation.server, *stack.writers)
        record = operation.journal.read()
        already = record.started if record else ()
        missing = tuple(name for name in wanted if name not in running or name in already)
        operation.intend(started=missing, started_stack=not running or bool(record and record.started_stack))
        if options.build:
            step.advanced("build images")
            stack.build()
        step.advanced("start the server")
        stack.start_postgres()
        end_left_sessions(operation)
        step.advanced("start the services")
        stack.up(stack.writers)
        step.detail = measured.base_url = stack.base_url


def seed(operation: Operation, options: DrillOptions) -> Seeded | None:
    """Make the drill's data."""
    with operation.phases.phase("seed") as step:
        seeded = run_seed(operation, options.events)
        if seeded is None:
            step.skip("no seed command: the data that is there")
        else:
            step.detail = f"{seeded.document.get('events', '?')} events"
        return seeded


def baseline(operation: Operation, seeded: Seeded | None, measured: Measured) -> Page | None:
    """Count the rows, at least one, and read what the application serves."""
    settings = operation.settings
    with operation.phases.phase("baseline") as step:
        with session(operation.stack, operation.database) as connection:
            measured.server_version = db.server_version(connection)
            rows = measured.baseline_rows = db.count_rows(connection, settings.drill.count_table)
        if rows == 0:
            raise OperationFailed(
                f"{settings.drill.count_table} has 0 rows: a drill on no data proves nothing",
                hint="set drill.seed to a command that makes some, or drill.count_table to a table with rows",
            )
        step.detail = f"{rows} rows in {settings.drill.count_table}"
        if settings.application.read_path is None:
            return None
        page = _read(operation)
        if seeded and (absent := [one for one in seeded.event_ids if one not in page.text]):
            raise VerificationFailed(
                f"{page.url} does not serve {len(absent)} of the seeded events, such as {absent[0]}",
                hint="drill.topic and application.read_path must lead to what drill.seed makes",
            )
        measured.entries_before = len(page.entries)
        return page


def back_up(operation: Operation, measured: Measured) -> BackupResult:
    """Make a generation; from here on its snapshot is the baseline, for that is what can come back."""
    with operation.phases.phase("backup") as step:
        made = backup(replace(operation, phases=Phases(Within(step))))
        measured.dump = made.dump
        measured.baseline_rows = made.manifest.counted_rows
        measured.tool_version = made.manifest.tool_version
        step.detail = made.dump.name
        return made


def stop(operation: Operation) -> None:
    """Stop the writers."""
    with operation.phases.phase("stop writers") as step:
        step.detail = ", ".join(stop_writers(operation))


def damage(operation: Operation, made: BackupResult, measured: Measured) -> Recreation:
    """Count what is about to be lost, put on record how it comes back, and do the damage."""
    manifest = made.manifest
    with operation.phases.phase("fault") as step:
        with session(operation.stack, operation.database) as connection:
            rows = db.count_rows(connection, manifest.counted_table)
        measured.rows_lost = max(0, rows - manifest.counted_rows)
        recreation = plan_recreation(operation, made.dump, manifest.sha256, manifest)
        operation.intend(recreating=replace(recreation, damaged=True))
        backed_up = Identity(manifest.system_identifier, manifest.database, manifest.database_oid)
        measured.fault_at = time.monotonic()
        measured.damaged_rows = truncate_tables(operation, backed_up)
        step.detail = f"truncated {', '.join(operation.settings.drill.truncate)}"
        return replace(recreation, damaged=True)


def restore(operation: Operation, generation: Generation, recreation: Recreation) -> None:
    """Check the dump as an operator's restore does, and make the database anew from it."""
    with operation.phases.phase("restore") as step:
        check_source(operation, Source(generation.dump, generation), step.advanced_bytes)
        recreate(operation, recreation, step.advanced)


def verify_rows(operation: Operation, recreation: Recreation, measured: Measured) -> None:
    """Compare what came back with the dump's snapshot, before a writer can hide or fake a difference."""
    with operation.phases.phase("verify") as step:
        measured.restored_rows = verify(operation, recreation)
        step.detail = f"{measured.restored_rows} rows in {recreation.counted_table}"
        finished(operation)


def restart(operation: Operation) -> None:
    """Start the writers again."""
    with operation.phases.phase("restart") as step:
        step.detail = ", ".join(start_writers(operation))


def check_health(operation: Operation) -> None:
    """Ask the application itself, with every writer back."""
    settings = operation.settings.application
    with operation.phases.phase("healthy") as step:
        url = operation.stack.base_url.rstrip("/") + settings.health_path
        wait_healthy(url, settings.deadline)
        step.detail = url


def verify_application(operation: Operation, before: Page | None, measured: Measured) -> None:
    """Require that the application serves every entry that it served before the fault."""
    with operation.phases.phase("verify application") as step:
        if before is None:
            step.skip("application.read_path is null")
            return
        after = _read(operation)
        measured.entries_after = len(after.entries)
        absent = set(before.entries) - set(after.entries)
        if absent:
            raise VerificationFailed(
                f"{after.url} no longer serves {len(absent)} of the {len(before.entries)} entries served before",
                hint="the rows are back and the application does not serve them: see `inv stack.logs`",
            )
        step.detail = f"{len(after.entries)} entries served"


def stop_the_clock(measured: Measured) -> None:
    """Take the RTO: seconds from the fault to a verified, serving node."""
    if measured.fault_at is not None:
        measured.rto_seconds = round(time.monotonic() - measured.fault_at, 3)


def clean_up(operation: Operation, options: DrillOptions) -> None:
    """Remove the seed's data and stop what the drill started; the volumes stay."""
    with operation.phases.phase("clean up") as step:
        if options.keep:
            operation.intend(started=(), started_stack=False)
            step.detail = "the stack is left up, with its data: end it with `inv stack.down`"
            return
        run_cleanup(operation)
        step.detail = "; ".join(put_back(operation)) or "the stack ran before and goes on"


def _read(operation: Operation) -> Page:
    settings = operation.settings
    path = settings.application.read_path or ""
    return read_page(operation.stack.base_url, path, settings.drill.topic)
