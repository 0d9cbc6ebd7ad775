"""Make a generation: dump what one snapshot sees, read it back, publish it, and only then prune."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime

from cn_ops import __version__
from cn_ops.errors import RUN_AGAIN, OperationFailed, OpsError, VerificationFailed, saying
from cn_ops.files import require_writable
from cn_ops.fingerprint import Fingerprint, Probe
from cn_ops.generations import NOTHING_MADE, Draft, draft, folder_lock, read_catalogue
from cn_ops.heal import end_left_sessions
from cn_ops.model import BackupResult, Decision, Generation, GenerationState, Manifest
from cn_ops.operation import Operation
from cn_ops.postgres.archive import read_in_full
from cn_ops.postgres.database import (
    count_rows,
    server_version,
    size_bytes,
    subscriptions,
)
from cn_ops.postgres.dump import Globals, plan_dump, tool_version
from cn_ops.postgres.fingerprint import until_quiet
from cn_ops.postgres.rights import is_superuser, may_read_passwords
from cn_ops.postgres.server_lock import server_lock
from cn_ops.postgres.session import session
from cn_ops.postgres.snapshot_dump import Wanted, dump_snapshot
from cn_ops.postgres.tools import check_tools
from cn_ops.prune import dumps_on_record, policy, prune
from cn_ops.retention import made_at
from cn_ops.settings import ProbeSettings
from cn_ops.text import readable_bytes

Clock = Callable[[], datetime]


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


def backup(operation: Operation, *, clock: Clock = now) -> BackupResult:
    """Back the live database up; a failure leaves no generation and prunes nothing."""
    settings = operation.settings.backup
    with ExitStack() as held:
        with saying(NOTHING_MADE, RUN_AGAIN):
            operation.require_server()
            check_tools(operation.stack, restoring=False)
            held.enter_context(folder_lock(settings.directory, operation.name))
            held.enter_context(server_lock(operation.stack, operation.database, shared=True))
            end_left_sessions(operation)
            began = clock()
            earlier = read_catalogue(settings.directory, settings.prefix).of(operation.database, None).complete
            _require_newest(operation, earlier, began)
        with draft(settings.directory, settings.prefix, began) as made:
            manifest, fingerprint = _dump(operation, made, clock)
            _warn_of_another_cluster(operation, earlier, manifest)
            _read_back(operation, made, manifest)
            with operation.phases.phase("publish") as step:
                dump = made.publish(manifest, fingerprint)
                step.detail = dump.name
        with saying(f"the new generation {made.id} is complete; not all of the old ones were removed", RUN_AGAIN):
            decisions = _prune(operation)
    generation = Generation(made.id, dump, made.path(".manifest.json"), GenerationState.COMPLETE, manifest)
    return BackupResult(generation, manifest, dump, operation.phases.done, decisions, operation.phases.warnings)


def plan_backup(operation: Operation) -> dict[str, object]:
    """Check what a backup needs and say what it would do; nothing is written."""
    settings = operation.settings.backup
    operation.require_server()
    check_tools(operation.stack, restoring=False)
    require_writable(settings.directory, "backup.directory")
    with session(operation.stack, operation.database) as connection:
        return {
            "database": operation.database,
            "database_size_bytes": size_bytes(connection, operation.database),
            "server_version": server_version(connection),
            "tool_version": tool_version(operation.stack),
            "flags": list(plan_dump(operation.stack, settings).flags),
            "directory": str(settings.directory),
            "generations": settings.generations,
            "counted_table": operation.settings.drill.count_table,
            "counted_rows": count_rows(connection, operation.settings.drill.count_table),
        }


def _dump(operation: Operation, made: Draft, clock: Clock) -> tuple[Manifest, Fingerprint]:
    stack, settings, table = operation.stack, operation.settings.backup, operation.settings.drill.count_table
    plan = plan_dump(stack, settings)
    with operation.phases.phase("dump") as step:
        started, began = clock(), time.monotonic()
        _warn_of_subscriptions(operation)
        wanted = Wanted(
            operation.database, plan, table, _probes(operation.settings.probes), _globals(operation, made)
        )
        dumped = until_quiet(lambda: dump_snapshot(stack, wanted, made.dump, step.advanced_bytes))
        fingerprint, globals_sha256 = dumped.fingerprint, dumped.globals_sha256
        made.sync()
        for answer in fingerprint.probes:
            if answer.problem:
                operation.phases.warn(f"probe {answer.probe.name!r} answers {answer.problem} on the live database")
        step.detail = (
            f"{readable_bytes(dumped.size_bytes)}, {fingerprint.rows} rows in {len(fingerprint.dumped)} tables"
        )
        manifest = Manifest(
            id=made.id,
            database=operation.database,
            started_at=_stamp(started),
            finished_at=_stamp(clock()),
            duration_seconds=round(time.monotonic() - began, 3),
            dump_file=made.path(".dump").name,
            size_bytes=dumped.size_bytes,
            sha256=dumped.sha256,
            format=plan.format,
            flags=plan.flags,
            globals_file=made.path(".globals.sql").name if globals_sha256 else None,
            globals_sha256=globals_sha256,
            counted_table=table,
            counted_rows=dumped.counted_rows,
            rows=fingerprint.rows,
            cn_ops_version=__version__,
            **dumped.described,
        )
        return manifest, fingerprint


def _require_newest(operation: Operation, earlier: Sequence[Generation], now: datetime) -> None:
    """Raise ``OperationFailed`` when a generation would not be the newest of its database, and be pruned as old."""
    newest = max(map(made_at, earlier), default=now)
    if newest > now:
        raise OperationFailed(
            f"it is {_stamp(now)} here, and the newest generation of {operation.database!r} was made at "
            f"{_stamp(newest)}: one that is made now would pass for an older one",
            hint="set the clock right; if it is, that generation was made while it was not: move its files away",
        )


def _warn_of_another_cluster(operation: Operation, earlier: Sequence[Generation], manifest: Manifest) -> None:
    """Say that no earlier generation is of this cluster: a server that was made anew is empty, and looks healthy."""
    alike = [one.manifest for one in earlier if one.manifest]
    if alike and all(one.system_identifier != manifest.system_identifier for one in alike):
        operation.phases.warn(
            f"no earlier generation of {manifest.database!r} is of this cluster: it is another server, or one that "
            f"was made anew; the newest, {alike[0].id}, has {alike[0].rows} rows, this one {manifest.rows}"
        )


def _probes(settings: ProbeSettings) -> tuple[Probe, ...]:
    return tuple(Probe(one.name, one.query, None if one.expect is None else str(one.expect)) for one in settings.sql)


def _warn_of_subscriptions(operation: Operation) -> None:
    """Say what pg_dump leaves out, and so a fingerprint of its schema does not hold either."""
    with session(operation.stack, operation.database) as connection:
        names, role = [] if is_superuser(connection) else subscriptions(connection), connection.info.user
    if names:
        operation.phases.warn(
            f"pg_dump leaves subscriptions out for {role!r}, who is no superuser: after a "
            f"restore, make {', '.join(names)} again"
        )


def _globals(operation: Operation, made: Draft) -> Globals | None:
    if not operation.settings.backup.globals:
        return None
    with session(operation.stack, operation.database) as connection:
        passwords, role = may_read_passwords(connection), connection.info.user
    if not passwords:
        operation.phases.warn(
            f"roles are dumped without their passwords, which {role!r} may not read: after the loss of the whole "
            "server, passwords have to be set anew"
        )
    return Globals(made.globals, passwords)


def _prune(operation: Operation) -> tuple[Decision, ...]:
    settings = operation.settings.backup
    with operation.phases.phase("prune") as step:
        try:
            needed = dumps_on_record(operation.settings.state)
        except OpsError as error:
            # Another stack's, for this one's own was read before: which dumps it needs is not known.
            operation.phases.warn(f"nothing is pruned: {error.message}; {error.hint}")
            step.skip("a journal cannot be understood")
            return ()
        retention = prune(settings, policy(settings), needed=needed)
        decisions = retention.decisions
        if retention.suspicion:
            operation.phases.warn(f"nothing is pruned: {retention.suspicion}; `inv prune --trust` prunes anyway")
        step.detail = f"{sum(one.keep for one in decisions)} kept, {sum(not one.keep for one in decisions)} removed"
        return decisions


def _read_back(operation: Operation, made: Draft, manifest: Manifest) -> None:
    with operation.phases.phase("read back") as step:
        hint = f"the disk of {made.directory} may be failing: back up to another folder"
        try:
            archive = read_in_full(operation.stack, made.aside(".dump"), step.advanced_bytes)
        except VerificationFailed as error:
            raise VerificationFailed(
                f"the new dump of {manifest.database!r} cannot be read back in full",
                state=NOTHING_MADE,
                hint=hint,
                evidence=error.evidence,
            ) from error
        if (archive.sha256, archive.size_bytes) != (manifest.sha256, manifest.size_bytes):
            raise VerificationFailed(
                "what was read back from the disk is not what pg_dump wrote", state=NOTHING_MADE, hint=hint
            )
        step.detail = f"sha256 {manifest.sha256[:12]}…"


def _stamp(time_: datetime) -> str:
    return time_.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
