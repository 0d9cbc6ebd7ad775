"""Rehearse the recovery: damage a backed-up node on purpose, restore it, and prove that it is back."""

from __future__ import annotations

import logging
import platform
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from cn_ops import __version__
from cn_ops import drill_phases as phase
from cn_ops.drill_phases import DrillOptions, Measured
from cn_ops.errors import Interrupted, OperationFailed, OpsError
from cn_ops.faults import TRUNCATED_TABLES
from cn_ops.heal import heal
from cn_ops.model import DrillError, DrillReport, Status
from cn_ops.operation import Operation
from cn_ops.writers import start_unless_recreating

LOG = logging.getLogger("cn_ops.drill")
EVIDENCE_LOG_LINES = 200
DRILL_PHASES = (
    "up",
    "seed",
    "baseline",
    "backup",
    "stop writers",
    "fault",
    "restore",
    "verify",
    "restart",
    "healthy",
    "verify application",
    "clean up",
)


def rehearse(operation: Operation, options: DrillOptions, measured: Measured) -> None:
    """Run the drill's phases in order; what they measure stays in ``measured`` when one of them fails."""
    heal(operation, keep_stack=True)
    phase.bring_up(operation, options, measured)
    seeded = phase.seed(operation, options)
    before = phase.baseline(operation, seeded, measured)
    made = phase.back_up(operation, measured)
    phase.stop(operation)
    recreation = phase.damage(operation, made, measured)
    phase.restore(operation, made.generation, recreation)
    phase.verify_rows(operation, recreation, measured)
    phase.restart(operation)
    phase.check_health(operation)
    phase.verify_application(operation, before, measured)
    phase.stop_the_clock(measured)
    phase.clean_up(operation, options)


def drill(operation: Operation, options: DrillOptions, executed_at: datetime, log_path: Path) -> DrillReport:
    """Run a drill and report on it, passed or not; only a bug raises."""
    measured = Measured()
    try:
        rehearse(operation, options, measured)
    except (Exception, KeyboardInterrupt) as error:
        return _report(operation, measured, executed_at, log_path, _failed(operation, error))
    return _report(operation, measured, executed_at, log_path, None)


def _failed(operation: Operation, error: BaseException) -> OpsError:
    """Turn whatever ended the drill into an error with the state of everything, and keep the evidence."""
    LOG.error("the drill failed", exc_info=error)
    failure = error if isinstance(error, OpsError) else OperationFailed(f"unexpected: {error!r}", hint="see the log")
    if isinstance(error, KeyboardInterrupt):
        failure = Interrupted("interrupted")
    with suppress(OpsError):
        LOG.info("logs of the services:\n%s", operation.stack.logs(EVIDENCE_LOG_LINES))
    try:
        start_unless_recreating(operation)
    except OpsError as second:
        LOG.error("the writers were not started again: %s", second.message)
    return failure.with_state(_database_state(operation))


def _database_state(operation: Operation) -> str:
    name = operation.database
    with suppress(OpsError):
        record = operation.journal.read()
        if record and record.recreating:
            return (
                f"the database {name!r} is damaged or half restored and its writers are stopped; "
                f"the dump {record.recreating.dump} is good, and the next command restores it"
            )
        return f"no damage of this drill is left in the database {name!r}"
    return f"the state of the database {name!r} is not known"


def _report(
    operation: Operation, measured: Measured, executed_at: datetime, log_path: Path, error: OpsError | None
) -> DrillReport:
    phases = operation.phases.all_of(DRILL_PHASES)
    failed = next((one.name for one in phases if one.status is Status.FAILED), "before the first phase")
    return DrillReport(
        executed_at=executed_at,
        status=Status.FAILED if error else Status.PASSED,
        base_url=measured.base_url or operation.settings.application.base_url,
        backup_file=measured.dump,
        backup_generations=operation.settings.backup.generations,
        baseline_event_count=measured.baseline_rows,
        after_corruption_event_count=measured.damaged_rows,
        after_restore_event_count=measured.restored_rows,
        log_path=log_path,
        stack=operation.stack.kind,
        scenario=TRUNCATED_TABLES,
        phases=phases,
        rto_seconds=measured.rto_seconds,
        rows_lost_after_backup=measured.rows_lost,
        application_entries_before=measured.entries_before,
        application_entries_after=measured.entries_after,
        error=_drill_error(failed, error) if error else None,
        versions={
            "cn_ops": __version__,
            "python": platform.python_version(),
            "postgres": measured.server_version,
            "pg_dump": measured.tool_version,
        },
        warnings=operation.phases.warnings,
    )


def _drill_error(phase_name: str, error: OpsError) -> DrillError:
    return DrillError(phase_name, error.message, error.hint, error.state, error.evidence, int(error.exit_code))
