"""Rehearse the recovery: damage a backed-up node on purpose, restore it, and prove that it is back."""

from __future__ import annotations

import logging
import platform
import shlex
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from cn_ops import __version__
from cn_ops import drill_phases as phase
from cn_ops import drill_recovery as recovery
from cn_ops.drill_phases import DrillOptions, Measured
from cn_ops.errors import RUN_AGAIN, Interrupted, OperationFailed, OpsError
from cn_ops.faults import Scenario
from cn_ops.files import refused
from cn_ops.heal import heal
from cn_ops.http_probes import ask_probes
from cn_ops.late_writes import late_writer
from cn_ops.model import DrillError, DrillReport, Status
from cn_ops.operation import Operation
from cn_ops.postgres.server_lock import server_lock
from cn_ops.record import is_another_cluster, writers_state
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
    "swap",
    "restart",
    "healthy",
    "verify application",
    "clean up",
)


def rehearse(operation: Operation, scenario: Scenario, options: DrillOptions, measured: Measured) -> None:
    """Run the drill's phases in order; what they measure stays in ``measured`` when one of them fails."""
    heal(operation, keep_stack=True)
    phase.bring_up(operation, options, measured)
    seeded = phase.seed(operation, options)
    before = phase.baseline(operation, seeded, measured)
    with ExitStack() as held:
        with late_writer(operation, wanted=scenario.is_written_to) as writer:
            made = phase.back_up(operation, scenario, measured)
            phase.stop(operation)
            held.enter_context(server_lock(operation.stack, operation.database))
            recreation = recovery.damage(operation, scenario, made, measured, writer)
        restored = recovery.restore(operation, scenario, made, recreation)
        recovery.verify(operation, restored, measured)
    phase.restart(operation)
    phase.check_health(operation)
    phase.verify_application(operation, before, measured)
    ask_probes(operation, state=f"the database {operation.database!r} is restored and equal")
    phase.stop_the_clock(measured)
    if options.prove_detection:
        phase.prove_detection(operation, restored, measured)
    phase.clean_up(operation, options, made, restored)


def drill(
    operation: Operation,
    scenario: Scenario,
    options: DrillOptions,
    executed_at: datetime,
    log_path: Path,
    cpu_before: float = 0.0,
) -> DrillReport:
    """Run a drill and report on it, passed or not.

    ``cpu_before``: what this process had used, in seconds, for other things than this drill.
    """
    measured = Measured(cpu_before=cpu_before)
    error = None
    try:
        rehearse(operation, scenario, options, measured)
    except (Exception, KeyboardInterrupt) as reason:
        error = _failed(operation, reason)
    return _report(operation, scenario, measured, executed_at, log_path, error)


def not_tried(operation: Operation, scenario: Scenario, reason: str, executed_at: datetime) -> DrillReport:
    """Report a scenario that cannot be tried here, and why: that is never a pass."""
    report = _report(operation, scenario, Measured(), executed_at, operation.settings.drill.logs, None)
    return replace(report, status=Status.SKIPPED, warnings=(f"not tried here: {reason}",))


def _failed(operation: Operation, error: BaseException) -> OpsError:
    """Turn whatever ended the drill into an error with the state of everything, and keep the evidence."""
    LOG.error("the drill failed", exc_info=error)
    failure = error if isinstance(error, OpsError) else OperationFailed(f"unexpected: {error!r}", hint="see the log")
    if isinstance(error, OSError):
        failure = refused(error)
    if isinstance(error, KeyboardInterrupt):
        failure = Interrupted("interrupted")
    with suppress(OpsError):
        LOG.info("logs of the services:\n%s", operation.stack.logs(EVIDENCE_LOG_LINES))
    try:
        start_unless_recreating(operation)
    except OpsError as second:
        LOG.error("the writers were not started again: %s", second.message)
    return failure.with_state(_database_state(operation)).with_hint(RUN_AGAIN)


def _database_state(operation: Operation) -> str:
    name = operation.database
    with suppress(OpsError):
        record = operation.journal.read()
        if record and record.recreating:
            dump = shlex.quote(record.recreating.dump)
            with suppress(OpsError):
                if is_another_cluster(operation, record.recreating):
                    return (
                        f"the server is a new one, and {name!r} is empty: `inv restore --dump={dump}` brings it back"
                    )
            return (
                f"the database {name!r} is damaged or dropped{writers_state(operation)}; "
                f"the dump {record.recreating.dump} is good, and the next command restores it"
            )
        return f"no damage of this drill is left in the database {name!r}"
    return f"the state of the database {name!r} is not known"


def _report(
    operation: Operation,
    scenario: Scenario,
    measured: Measured,
    executed_at: datetime,
    log_path: Path,
    error: OpsError | None,
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
        scenario=scenario.name,
        phases=phases,
        rto_seconds=measured.rto_seconds,
        rows_lost_after_backup=measured.rows_lost,
        seconds_lost_after_backup=measured.seconds_lost,
        tables_compared=measured.comparison.tables if measured.comparison else None,
        rows_compared=measured.comparison.rows if measured.comparison else None,
        overhead_seconds=round(time.process_time() - measured.cpu_before, 3),
        damage_noticed=measured.detection.noticed if measured.detection else None,
        damage_tried=measured.detection.tried if measured.detection else None,
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
