"""Replacing the live database: what is planned and on record, what is loaded and proven, and whose database it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import cn_ops.postgres.database as db
from cn_ops.errors import MissingError, UsageError
from cn_ops.files import explained
from cn_ops.fingerprint import Comparison, Extension, Fingerprint, Stripped
from cn_ops.manifest import read_fingerprint
from cn_ops.model import Manifest, Recreation
from cn_ops.names import Beside, free_names
from cn_ops.operation import Operation
from cn_ops.postgres import rights
from cn_ops.postgres.alter import Connection
from cn_ops.postgres.analyze import analyze, analyzing
from cn_ops.postgres.extensions import Offer, offers
from cn_ops.postgres.load import load, run_sql
from cn_ops.postgres.objects import archive_objects
from cn_ops.postgres.probes import repair
from cn_ops.postgres.session import maintenance_database, session
from cn_ops.proof import Subject, prove, require_equal
from cn_ops.record import unfinished
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


def check_scripts(settings: RestoreSettings) -> None:
    """Raise an ``OpsError`` for an SQL file that cannot be read: when it is its turn would be too late."""
    for script in settings.after:
        if script.exists() and not script.is_file():  # opening a pipe would wait for whoever writes to it
            raise UsageError(
                f"{script} is not a regular file", state="nothing was changed", hint="name SQL files in restore.after"
            )
        try:
            with script.open("rb"):
                pass
        except OSError as error:
            raise explained(error, script, "read").with_state("nothing was changed") from error


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
        rights.require_may_make_for(connection, properties.owner)
        if there:
            rights.require_may_act_as(connection, db.properties(connection, database).owner)
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
