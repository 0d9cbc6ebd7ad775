"""The phases of a drill, each a plain function; `cn_ops.drill` says in which order they run."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import cn_ops.postgres.database as db
from cn_ops import detection
from cn_ops.application import Page, read_page, wait_healthy
from cn_ops.backup import backup
from cn_ops.beside import drop_beside
from cn_ops.errors import Interrupted, OperationFailed, OpsError, UsageError, VerificationFailed
from cn_ops.faults import Scenario
from cn_ops.fingerprint import Comparison
from cn_ops.generations import read_catalogue, remove_generation
from cn_ops.heal import end_left_sessions, put_back
from cn_ops.model import BackupResult, Recreation
from cn_ops.operation import Operation
from cn_ops.phases import Phases, Step, Within
from cn_ops.postgres import rights
from cn_ops.postgres.session import session
from cn_ops.postgres.tools import check_tools
from cn_ops.seed import Seeded, run_cleanup, run_seed
from cn_ops.writers import start_writers, stop_writers

DumpingTrouble = Callable[[Operation], AbstractContextManager[Operation]]
LOG = logging.getLogger("cn_ops.drill")
BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class DrillOptions:
    """What a drill can be asked: ``events`` is the seed's size, null for its own."""

    build: bool = True
    keep: bool = False
    events: int | None = None
    prove_detection: bool = False


@dataclass
class Measured:
    """What has been measured so far; None is what has not."""

    baseline_rows: int | None = None
    damaged_rows: int | None = None
    restored_rows: int | None = None
    rows_lost: int | None = None
    seconds_lost: float | None = None
    snapshot_at: datetime = BEFORE_ALL
    entries_before: int | None = None
    entries_after: int | None = None
    comparison: Comparison | None = None
    detection: detection.Detection | None = None
    rto_seconds: float | None = None
    fault_at: float | None = None
    base_url: str | None = None
    dump: Path | None = None
    server_version: str | None = None
    tool_version: str | None = None
    cpu_before: float = 0.0


def require_disposable(operation: Operation, why: str = "a drill destroys its data") -> None:
    """Refuse a stack whose data may not be destroyed, or added to."""
    if not operation.disposable:
        raise UsageError(
            f"this stack ({operation.stack.name}) is not disposable, and {why}",
            state="nothing was started or changed",
            hint="set stack.disposable: true only for a stack that holds nothing of value, or use --stack=embedded",
        )


def require_possible(operation: Operation, options: DrillOptions) -> None:
    """Refuse what cannot be rehearsed on this stack, before anything is started or damaged."""
    if operation.stack.kind == "server" and options.prove_detection:
        with session(operation.stack, operation.database) as connection:
            if not rights.is_superuser(connection):
                raise UsageError(
                    f"--prove-detection needs a superuser, and {connection.info.user!r} is none: it damages a copy "
                    "with session_replication_role = replica",
                    state="nothing was started or changed",
                    hint="leave it out here, and prove the detection with --stack=embedded",
                )


def bring_up(operation: Operation, options: DrillOptions, measured: Measured) -> None:
    """Build the images and start the server and the writers, on record what ran before."""
    stack = operation.stack
    with operation.phases.phase("up") as step:
        stack.preflight()
        check_tools(stack, restoring=True)
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
        if settings.application.read_path is None or not operation.stack.base_url:
            return None
        page = _read(operation)
        if seeded and (absent := [one for one in seeded.event_ids if one not in page.text]):
            raise VerificationFailed(
                f"{page.url} does not serve {len(absent)} of the seeded events, such as {absent[0]}",
                hint="drill.topic and application.read_path must lead to what drill.seed makes",
            )
        measured.entries_before = len(page.entries)
        return page


def back_up(operation: Operation, scenario: Scenario, measured: Measured) -> tuple[BackupResult, ...]:
    """Make a generation, or two for a scenario that breaks the newest; return them, the one to restore last.

    From here on the snapshot of the one to restore is the baseline, for that is what can come back.
    """
    with operation.phases.phase("backup") as step:
        if scenario.while_dumping:
            failed = _require_no_generation(operation, scenario.while_dumping, step)
            LOG.info("failed, as it must: %s\n%s", failed.message, failed.evidence)
        count = 2 if scenario.break_dump else 1
        try:
            made = tuple(backup(replace(operation, phases=Phases(Within(step)))) for _ in range(count))[::-1]
        except OpsError as error:
            error.state = ""  # what a backup says is of generations, and not of the database
            error.hint = "" if isinstance(error, Interrupted) else error.hint
            raise
        measured.dump = made[-1].dump
        measured.baseline_rows = made[-1].manifest.counted_rows
        measured.tool_version = made[-1].manifest.tool_version
        measured.snapshot_at = datetime.fromisoformat(made[-1].manifest.started_at)
        step.detail = " and ".join(one.dump.name for one in made)
    return made


def _require_no_generation(operation: Operation, trouble: DumpingTrouble, step: Step) -> OpsError:
    """Require that a backup fails in this trouble, and leaves the backup folder as it was."""
    settings = operation.settings.backup
    before = read_catalogue(settings.directory, settings.prefix)
    failure = None
    step.advanced("a backup that must fail")
    with trouble(replace(operation, phases=Phases(Within(step)))) as troubled:
        try:
            backup(troubled)
        except Interrupted:
            raise  # that was a person, and not the trouble
        except OpsError as error:
            failure = error
        aside = troubled.settings.backup
        made = read_catalogue(aside.directory, aside.prefix).generations if aside != settings else ()
    operation.stack.start_postgres()
    if failure is None:
        raise VerificationFailed("a backup ended well that could not: nothing is proven")
    if made or read_catalogue(settings.directory, settings.prefix) != before:
        raise VerificationFailed("the failed backup has left a generation, or changed those that were there")
    return failure


def stop(operation: Operation) -> None:
    """Stop the writers."""
    with operation.phases.phase("stop writers") as step:
        step.detail = ", ".join(stop_writers(operation))


def restart(operation: Operation) -> None:
    """Start the writers again."""
    with operation.phases.phase("restart") as step:
        step.detail = ", ".join(start_writers(operation))


def check_health(operation: Operation) -> None:
    """Ask the application itself, with every writer back."""
    settings = operation.settings.application
    with operation.phases.phase("healthy") as step:
        if not operation.stack.base_url:
            step.skip("application.base_url is not set")
            return
        url = operation.stack.base_url.rstrip("/") + settings.health_path
        wait_healthy(url, settings.deadline)
        step.detail = url


def verify_application(operation: Operation, before: Page | None, measured: Measured) -> None:
    """Require that the application serves every entry that it served before the fault."""
    with operation.phases.phase("verify application") as step:
        if before is None:
            step.skip("application.read_path is null, or application.base_url is not set")
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


def prove_detection(operation: Operation, restored: Recreation, measured: Measured) -> None:
    """Require that the comparison, which has just said equal, notices damage of every kind."""
    with operation.phases.phase("prove detection") as step:
        measured.detection = detection.prove_detection(operation.stack, restored, step.advanced)
        step.detail = f"{measured.detection.noticed} of {measured.detection.tried} kinds of damage noticed"


def clean_up(
    operation: Operation, options: DrillOptions, made: tuple[BackupResult, ...], restored: Recreation
) -> None:
    """Remove the seed's data and stop what the drill started; the volumes stay."""
    with operation.phases.phase("clean up") as step:
        if options.keep:
            operation.intend(started=(), started_stack=False)
            step.detail = "the stack is left up, with its data: end it with `inv stack.down`"
            return
        run_cleanup(operation)
        drop_beside(operation, [restored.previous])
        for broken in made[:-1]:
            remove_generation(broken.generation)
        step.detail = "; ".join(put_back(operation)) or "the stack ran before and goes on"


def _read(operation: Operation) -> Page:
    settings = operation.settings
    path = settings.application.read_path or ""
    return read_page(operation.stack.base_url, path, settings.drill.topic)
