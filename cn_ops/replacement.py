"""Replacing the live database: what is planned and on record, what is loaded and proven, and whose database it is."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path

import cn_ops.postgres.database as db
from cn_ops.errors import MissingError, OperationFailed, OpsError, UsageError
from cn_ops.files import explained, sha256
from cn_ops.fingerprint import Comparison, Extension, Fingerprint, Stripped
from cn_ops.manifest import read_fingerprint
from cn_ops.model import Manifest, Recreation
from cn_ops.names import Beside, free_names
from cn_ops.operation import Operation
from cn_ops.postgres.alter import Connection
from cn_ops.postgres.analyze import analyze, analyzing
from cn_ops.postgres.extensions import Offer, offers
from cn_ops.postgres.load import load, run_sql
from cn_ops.postgres.objects import archive_objects
from cn_ops.postgres.probes import repair
from cn_ops.postgres.session import maintenance_database, session
from cn_ops.proof import Subject, prove, require_equal
from cn_ops.settings import RestoreSettings
from cn_ops.source import Source
from cn_ops.stack import Server
from cn_ops.text import first_of

SHOWN_PROBLEMS = 5


def fill(
    server: Server,
    database: str,
    dump: Path,
    settings: RestoreSettings,
    said: Callable[[str], None],
    *,
    owners: bool = True,
    privileges: bool = True,
    fingerprint: Fingerprint | None = None,
) -> None:
    """Load a dump into an empty database (see ``cn_ops.postgres.load.load``), and run the SQL files that come after.

    The planner has no statistics then: whoever keeps the database analyzes it.
    """
    said("load")
    try:
        load(
            server, database, dump, owners=owners, privileges=privileges, jobs=settings.jobs, fingerprint=fingerprint
        )
        for script in settings.after:
            said(f"run {script.name}")
            run_sql(server, database, script)
    except OSError as error:
        raise explained(error, Path(error.filename or dump), "read") from error
    with session(server, database) as connection:
        for done in repair(connection):
            said(done)


def wanted_fingerprint(wanted: Recreation) -> Fingerprint | None:
    """Return what must be there afterwards, or None when no manifest says."""
    return read_fingerprint(Path(wanted.manifest)) if wanted.manifest else None


def plan_recreation(operation: Operation, source: Source, sha256: str) -> Recreation:
    """Say what is to be made anew, from what, how, and with which properties.

    A live database that an earlier command left not whole stays on record as that until it is replaced.
    """
    database, settings, manifest = operation.database, operation.settings.restore, source.manifest
    drop_first = settings.strategy == "recreate"
    left = unfinished(operation)
    with session(operation.stack, maintenance_database(database)) as connection:
        there = db.oid(connection, database)
        # The dump's generation knows best; then a record of what a killed restore dropped, then what is there.
        if manifest:
            properties = manifest.properties
        elif left:
            properties = left.properties
        elif there:
            properties = db.properties(connection, database)
        else:
            properties = db.default_properties(connection, connection.info.user)
        expected = read_fingerprint(source.generation.manifest_file) if source.generation else None
        owners, privileges = (kept and not drop_first for kept in (settings.owners, settings.privileges))
        in_it = [role.name for role in expected.roles] if expected and (owners or privileges) else ()
        if missing := db.missing_roles(connection, properties, in_it):
            raise _no_roles(database, missing, manifest)
        for owner in {properties.owner, *([db.properties(connection, database).owner] if there else [])}:
            db.require_may_act_as(connection, owner)
        _look_at_extensions(operation, source, expected.extensions if expected else (), offers(connection))
        incoming, previous = names_beside(connection, database)
        return Recreation(
            dump=str(source.path),
            sha256=sha256,
            database=database,
            system_identifier=db.system_identifier(connection),
            properties=properties,
            manifest=str(source.generation.manifest_file) if source.generation else None,
            # What somebody has made since is none of it: it is set aside at the swap, and never dropped.
            old_oid=left.old_oid if left else there,
            damaged=left is not None,
            owners=owners,
            privileges=privileges,
            incoming=incoming,
            previous=previous,
            drop_first=drop_first,
        )


def verify(operation: Operation, recorded: Recreation, said: Callable[[str], None]) -> Comparison | None:
    """Analyze and prove the incoming database; return what was compared, None when no manifest says what was there.

    Raises ``VerificationFailed`` naming the differences.
    """
    stack, jobs = operation.stack, operation.settings.restore.jobs
    expected = wanted_fingerprint(recorded)
    # Probes want statistics; nothing else that compares does.
    meanwhile = expected is not None and not expected.probes
    if not meanwhile:
        said("analyze")
        warn_of_statistics(operation, analyze(stack, recorded.incoming, jobs))
    if expected is None:
        return None
    subject = Subject(stack, recorded.incoming, expected, Path(recorded.dump), recorded.database, jobs)
    stripped = Stripped(not recorded.owners, not recorded.privileges, not recorded.roles)
    without_statistics: list[str] = []
    with analyzing(stack, recorded.incoming, without_statistics) if meanwhile else nullcontext():
        comparison = prove(subject, stripped, said)
    warn_of_statistics(operation, without_statistics)
    require_equal(comparison, f"the database restored from {Path(recorded.dump).name}")
    return comparison


def warn_of_statistics(operation: Operation, problems: Sequence[str]) -> None:
    """Warn of what ANALYZE could not look at: statistics are not data."""
    if problems:
        operation.phases.warn(f"the planner has no statistics of {'; '.join(first_of(problems, SHOWN_PROBLEMS))}")


def names_beside(connection: Connection, database: str) -> tuple[str, str]:
    """Return free names for the incoming and for the previous database."""
    both = (Beside.INCOMING, Beside.PREVIOUS)
    incoming, previous = free_names(database, both, datetime.now(UTC), db.databases(connection))
    return incoming, previous


def writers_state(operation: Operation) -> str:
    """Say whether the writers are stopped, where the stack knows of any and can be asked."""
    with suppress(OpsError):
        if writers := operation.stack.writers:
            running = operation.stack.running()
            at_work = [name for name in writers if name in running]
            return f", and {', '.join(at_work)} runs" if at_work else ", and its writers are stopped"
    return ""


def finished(operation: Operation) -> None:
    """Take the database off the record: it is what it should be."""
    operation.intend(recreating=None)


def refuse_writers(operation: Operation, recorded: Recreation) -> None:
    """Raise ``OperationFailed`` when a writer works on a database that is not whole: somebody goes on by hand.

    Where no writer is known, one may have worked on whatever is in it.
    """
    running = operation.stack.running()
    at_work = [name for name in operation.stack.writers if name in running]
    by_name = f"`inv restore --dump={shlex.quote(recorded.dump)}`"
    # What runs beside a server that cn-ops did not start, it only remembers: somebody may have started it by hand.
    known = operation.stack.writers and operation.stack.kind != "server"
    if not known and not operation.disposable and _has_content(operation, recorded.database):
        raise OperationFailed(
            f"an earlier restore of {recorded.database!r} has not ended well, and who writes to it is not known: "
            "somebody may have since",
            state="nothing was changed; that database may be damaged",
            hint=f"look at what is there: {by_name} replaces it; to keep it, remove {operation.journal.path}",
        )
    if at_work:
        raise OperationFailed(
            f"an earlier restore of {recorded.database!r} has not ended well, and {', '.join(at_work)} runs on it",
            state="nothing was changed; that database may be damaged",
            hint=f"stop it (`inv stack.down`), or restore by name: {by_name}",
        )


def is_another_cluster(operation: Operation, recorded: Recreation) -> bool:
    """Whether the server is not the one that the record is about: small oids would be the same by chance."""
    with session(operation.stack, maintenance_database(recorded.database)) as connection:
        return db.system_identifier(connection) != recorded.system_identifier


def speaks_of(operation: Operation, recorded: Recreation) -> bool:
    """Whether the live database, or that there is none, is what the record calls not whole."""
    if is_another_cluster(operation, recorded):
        return False
    if not recorded.damaged and not (recorded.drop_first and recorded.old_oid):
        return False
    there = oid_of(operation, recorded.database)
    if there is None:
        return True
    is_usable = is_valid(operation, recorded.database)
    if there == recorded.old_oid:
        return recorded.damaged or not is_usable
    # One that somebody has made since, with nothing in it: it is set aside at the swap.
    return is_usable and there != recorded.new_oid and is_empty(operation, recorded.database)


def is_dump_there(recorded: Recreation) -> bool:
    """Whether the dump on record can still be restored: it can be read, and is the file that was checked."""
    with suppress(OSError):
        return sha256(Path(recorded.dump)) == recorded.sha256
    return False


def unfinished(operation: Operation) -> Recreation | None:
    """Return the record of a live database that a drill or a killed restore has left not whole, if it is one."""
    recorded = _on_record(operation)
    is_about = recorded is not None and recorded.database == operation.database
    return recorded if recorded and is_about and speaks_of(operation, recorded) else None


def refuse_another_s(operation: Operation) -> None:
    """Raise ``OperationFailed`` while another database's restore is on record: this one would take its place."""
    recorded = _on_record(operation)
    if recorded and recorded.database != operation.database:
        raise OperationFailed(
            f"an earlier restore of {recorded.database!r} has not ended well, and is still on record",
            state="nothing was changed",
            hint=f"`inv heal` brings that to its end; if it cannot, restore {recorded.database!r} by name, with the "
            f"settings that it had, or remove {operation.journal.path}",
        )


def _on_record(operation: Operation) -> Recreation | None:
    left = operation.journal.read()
    return left.recreating if left else None


def oid_of(operation: Operation, database: str) -> int | None:
    """Return a database's oid, or None when it is not there."""
    with session(operation.stack, maintenance_database(operation.database)) as connection:
        return db.oid(connection, database)


def is_valid(operation: Operation, database: str) -> bool:
    """Whether a database is there and can be used, and is not what an interrupted drop has left."""
    with session(operation.stack, maintenance_database(operation.database)) as connection:
        return db.is_valid(connection, database)


def _has_content(operation: Operation, database: str) -> bool:
    """Whether there is a database that can be used, with something in it."""
    return is_valid(operation, database) and not is_empty(operation, database)


def is_empty(operation: Operation, database: str) -> bool:
    """Whether a database has nothing of a user's."""
    with session(operation.stack, database) as connection:
        return db.is_empty(connection)


def _look_at_extensions(
    operation: Operation, source: Source, wanted: Sequence[Extension], offered: Mapping[str, Offer]
) -> None:
    """Raise ``MissingError`` for extensions that the server does not have; warn of those that come back another."""
    names = [one.name for one in wanted]
    if source.generation is None:
        names = [one.name for one in archive_objects(operation.stack, source.path) if one.type == "EXTENSION"]
    if missing := [name for name in names if name not in offered]:
        raise MissingError(
            f"the dump needs extensions that this server does not have: {', '.join(missing)}",
            state="nothing was changed",
            hint="install them where the server runs, or take an image that has them; then restore again",
        )
    for one in wanted:
        if (version := offered[one.name].version_for(one)) != one.version:
            operation.phases.warn(
                f"the extension {one.name} {one.version} comes back as {version}, and is told as left out"
            )


def _no_roles(database: str, missing: tuple[str, ...], manifest: Manifest | None) -> UsageError:
    globals_file = manifest.globals_file if manifest else None
    with_psql = f" with psql from {globals_file}, beside the dump," if globals_file else ""
    return UsageError(
        f"the database {database!r} needs roles that this server does not have: {', '.join(missing)}",
        state="nothing was changed",
        hint=f"make them{with_psql} or by CREATE ROLE, then restore again",
    )
