"""The heart of a drill: the damage, the restore, the proof and the swap."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime

import cn_ops.postgres.database as db
from cn_ops.beside import discard_incoming, restore_incoming, settle, swap, verify_incoming
from cn_ops.differences import compare
from cn_ops.drill_phases import Measured
from cn_ops.errors import OperationFailed, OpsError, VerificationFailed
from cn_ops.faults import Scenario, require_backed_up, rows_left
from cn_ops.fingerprint import Fingerprint, Stripped
from cn_ops.late_writes import LateWriter
from cn_ops.manifest import read_fingerprint
from cn_ops.model import BackupResult, Identity, Recreation
from cn_ops.operation import Operation
from cn_ops.phases import Step
from cn_ops.postgres.fingerprint import take
from cn_ops.postgres.session import maintenance_database, session
from cn_ops.proof import Subject, prove
from cn_ops.record import finished
from cn_ops.replacement import plan_recreation
from cn_ops.restore import report_comparison
from cn_ops.source import Source, check_source
from cn_ops.troubles import Restoring, Said
from cn_ops.verify import bring_roles

RestoringTrouble = Callable[[Operation, Recreation, Said], AbstractContextManager[Restoring]]
LOG = logging.getLogger("cn_ops.drill")


def damage(
    operation: Operation,
    scenario: Scenario,
    made: tuple[BackupResult, ...],
    measured: Measured,
    writer: LateWriter | None,
) -> Recreation:
    """Count what is about to be lost, put on record how it comes back, and do the damage."""
    source = made[-1]
    manifest = source.manifest
    with operation.phases.phase("fault") as step:
        require_backed_up(operation, Identity(manifest.system_identifier, manifest.database, manifest.database_oid))
        if writer:
            writer.end()
        with session(operation.stack, operation.database) as connection:
            rows = db.count_rows(connection, manifest.counted_table)
        measured.rows_lost = max(0, rows - manifest.counted_rows)
        if writer and not measured.rows_lost:
            raise OperationFailed(f"none of the {writer.rows} rows was written after the dump's snapshot")
        recreation = _plan(operation, source)
        operation.intend(recreating=recreation)
        measured.fault_at = time.monotonic()
        measured.seconds_lost = round((datetime.now(UTC) - measured.snapshot_at).total_seconds(), 3)
        step.detail = scenario.damage(operation)
        measured.damaged_rows = rows_left(operation, scenario, rows)
        if scenario.rows_after == "same":
            _require_noticed(operation, source)
        if scenario.break_dump:
            scenario.break_dump(made[0].dump)
            step.detail += f"; damaged {made[0].dump.name}"
        return recreation


def restore(
    operation: Operation, scenario: Scenario, made: tuple[BackupResult, ...], recreation: Recreation
) -> Recreation:
    """Check the dump as an operator's restore does, and restore it as the settings say."""
    source = made[-1]
    with operation.phases.phase("restore") as step:
        if scenario.loses_cluster:
            bring_roles(operation.stack, source.generation)
            # Another cluster, another empty database: what is on record must be about these.
            recreation = _plan(operation, source)
            operation.intend(recreating=recreation)
        for broken in made[:-1]:
            _require_refused(operation, broken)
        wanted = Source(source.dump, source.generation)
        check_source(operation.stack, wanted, step.advanced_bytes, database=operation.database)
        if scenario.while_restoring:
            failed = _require_harmless(operation, scenario.while_restoring, recreation, step)
            LOG.info("failed, as it must: %s\n%s", failed.message, failed.evidence)
        restored = restore_incoming(operation, recreation, step.advanced)
        step.detail = (
            f"{'in the place of' if restored.drop_first else 'beside'} the damaged one, as {restored.incoming}"
        )
        return restored


def verify(operation: Operation, made: Recreation, measured: Measured) -> None:
    """Prove what came back, before a writer can hide or fake a difference, and give it the live one's name."""
    with operation.phases.phase("verify") as step:
        with session(operation.stack, made.incoming) as connection:
            measured.restored_rows = db.count_rows(connection, operation.settings.drill.count_table)
        measured.comparison = verify_incoming(operation, made, step.advanced)
        report_comparison(step, measured.comparison)
    with operation.phases.phase("swap") as step:
        previous = swap(operation, made)
        step.detail = f"the damaged one is {previous}" if previous else "nothing was left of the damaged one"
        finished(operation)


def _require_harmless(
    operation: Operation, trouble: RestoringTrouble, recreation: Recreation, step: Step
) -> OpsError:
    """Require that a restore fails in this trouble, and leaves the live database as it was and nothing beside it."""
    before = _at_rest(operation)
    failure = None
    step.advanced("a restore that must fail")
    with trouble(operation, recreation, step.advanced) as (wanted, said):
        try:
            restore_incoming(operation, wanted, said)
        except OpsError as error:
            failure = error
    operation.stack.start_postgres()
    settle(operation)
    discard_incoming(operation)
    if failure is None:
        raise VerificationFailed("a restore ended well that could not: nothing is proven")
    with session(operation.stack, maintenance_database(operation.database)) as connection:
        left = recreation.incoming in db.databases(connection)
    if left or not compare(before, _at_rest(operation)).equal:
        raise VerificationFailed("the failed restore has changed the live database, or left something beside it")
    return failure


def _at_rest(operation: Operation) -> Fingerprint:
    """Return what the live database is, without its sequences: a server that crashed lets them skip some numbers."""
    return replace(take(operation.stack, operation.database), sequences=())


def _plan(operation: Operation, made: BackupResult) -> Recreation:
    plan = plan_recreation(operation, Source(made.dump, made.generation), made.manifest.sha256)
    # Nobody changes roles between a drill's backup and its restore.
    return replace(plan, damaged=True, roles=True)


def _require_noticed(operation: Operation, made: BackupResult) -> None:
    """Require that comparing sees damage which counting does not."""
    subject = Subject(operation.stack, operation.database, read_fingerprint(made.generation.manifest_file), made.dump)
    if prove(subject, Stripped()).equal:
        raise VerificationFailed("the damage was not noticed: the damaged database compares as equal")


def _require_refused(operation: Operation, broken: BackupResult) -> None:
    """Require that a damaged dump is refused before anything is touched."""
    try:
        check_source(
            operation.stack, Source(broken.dump, broken.generation), lambda _: None, database=operation.database
        )
    except VerificationFailed as refusal:
        LOG.info("refused, as it must be: %s", refusal.message)
        return
    raise VerificationFailed(f"the damaged dump {broken.dump} was not refused")
