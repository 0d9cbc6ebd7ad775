"""Prove a generation: restore it into a scratch server and compare. The live database is never touched."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

from cn_ops.errors import RUN_AGAIN, OperationFailed, UsageError, VerificationFailed, saying
from cn_ops.files import remove, sha256
from cn_ops.fingerprint import Comparison, Fingerprint, Stripped
from cn_ops.generations import proof_age
from cn_ops.manifest import read_fingerprint, write_proof
from cn_ops.model import Generation, Manifest, Proof, VerifyResult
from cn_ops.phases import Phases
from cn_ops.postgres import alter
from cn_ops.postgres.analyze import analyze
from cn_ops.postgres.archive import KILLED, NO_SPACE
from cn_ops.postgres.database import server_version
from cn_ops.postgres.load import run_globals
from cn_ops.postgres.roles import make_missing_roles
from cn_ops.postgres.session import MAINTENANCE_DATABASE, maintenance_database, session
from cn_ops.process import ProcessFailed
from cn_ops.proof import Subject, prove, require_equal
from cn_ops.replacement import fill
from cn_ops.settings import RestoreSettings
from cn_ops.source import Source, check_dump, require_not_newer
from cn_ops.stack import Server, Stack, StartableServer

# What a restore fails with where its server is the cause.
NOT_THE_DUMP = re.compile(
    rf"{NO_SPACE}|connection to server|server closed the connection|terminating connection|out of memory"
)
NOT_PROVEN = "the live database was not touched; the generation is not proven"


def verify(stack: Stack, source: Source, settings: RestoreSettings, phases: Phases) -> VerifyResult:
    """Restore a generation into a scratch server, prove it there, and record that beside it.

    Raises ``UsageError`` for a dump without a manifest, ``VerificationFailed`` for one that is damaged or that
    does not come back as it was.
    """
    generation, manifest = source.generation, source.manifest
    if generation is None or manifest is None:
        raise UsageError(
            f"{source.path} has no manifest: nothing says what must come back",
            state="nothing was changed",
            hint="`inv restore --dry-run` reads a dump in full; `inv backup` makes a generation that can be proven",
        )
    began = time.monotonic()
    try:
        version, comparison = _prove_in_scratch(stack, source, generation, manifest, settings, phases)
    except VerificationFailed:
        remove(generation.proof_file)  # whatever an earlier verification has found does not hold any more
        raise
    with (
        saying("the live database was not touched; the proof is not on record", RUN_AGAIN),
        phases.phase("record") as step,
    ):
        proof = Proof(
            sha256=manifest.sha256,
            proven_at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            duration_seconds=round(time.monotonic() - began, 3),
            server_version=version,
            tables=comparison.tables,
            rows=comparison.rows,
        )
        _record(generation, proof)
        step.detail = generation.proof_file.name
    return VerifyResult(generation, proof, comparison.stripped, phases.done, phases.warnings)


def bring_roles(server: Server, generation: Generation, *, in_scratch: bool = False) -> None:
    """Bring a generation's roles to a server that does not have them: from its globals, else without passwords.

    Raises ``VerificationFailed`` when the globals are not what was backed up.
    """
    manifest = generation.manifest
    if manifest and manifest.globals_file:
        script = generation.dump.with_name(manifest.globals_file)
        if not script.is_file() or sha256(script) != manifest.globals_sha256:
            raise VerificationFailed(
                f"{script} is gone or has changed: roles of {generation.id} and their passwords may be lost",
                state="the dump itself is good",
                hint="make a new backup and verify that",
            )
        run_globals(server, script, in_scratch=in_scratch)
    with session(server, MAINTENANCE_DATABASE) as connection:
        make_missing_roles(connection, read_fingerprint(generation.manifest_file).roles)


def due(generations: Sequence[Generation], older_than: timedelta | None, now: datetime) -> tuple[Generation, ...]:
    """Return the generations to prove: all, or those never proven or whose proof is older than that."""
    if older_than is None:
        return tuple(generations)
    return tuple(one for one in generations if one.proof is None or proof_age(one.proof, now) > older_than)


def _prove_in_scratch(
    stack: Stack,
    source: Source,
    generation: Generation,
    manifest: Manifest,
    settings: RestoreSettings,
    phases: Phases,
) -> tuple[str, Comparison]:
    """Restore into a scratch server and compare; return the server's version and what was compared."""
    with saying(NOT_PROVEN, RUN_AGAIN), ExitStack() as held:
        with phases.phase("scratch server"):
            server = held.enter_context(stack.scratch())
        with phases.phase("check") as step:  # a container's server comes up meanwhile
            checked = check_dump(server, source, step.advanced_bytes)
            step.detail = source.path.name
        expected = read_fingerprint(generation.manifest_file)
        with phases.phase("restore") as step:
            version = _started(server)
            require_not_newer(source, checked.header, version)
            _restore(server, generation, manifest, expected, settings, step.advanced)
            step.detail = f"into the scratch server, {version}"
        with phases.phase("compare") as step:
            subject = Subject(server, manifest.database, expected, generation.dump, jobs=settings.jobs)
            comparison = _compare(subject, step.advanced)
            step.detail = f"{comparison.tables} tables, {comparison.rows} rows and the schema are equal"
        with phases.phase("remove") as step:
            held.close()
            step.detail = "the scratch server"
    return version, comparison


def _started(server: StartableServer) -> str:
    server.start_postgres()
    with session(server, MAINTENANCE_DATABASE) as connection:
        return server_version(connection)


def _record(generation: Generation, proof: Proof) -> None:
    """Put a proof beside its dump. No lock is held: whoever prunes meanwhile removes the manifest first."""
    write_proof(generation.proof_file, proof)
    if not generation.manifest_file.exists():
        remove(generation.proof_file)
        raise OperationFailed(
            f"the generation {generation.id} was removed while it was verified",
            state="the live database was not touched; nothing is left of the generation",
            hint="verify another: `inv backups` lists them",
        )


def _restore(
    server: Server,
    generation: Generation,
    manifest: Manifest,
    expected: Fingerprint,
    settings: RestoreSettings,
    said: Callable[[str], None],
) -> None:
    database = manifest.database
    said("globals")
    bring_roles(server, generation, in_scratch=True)
    said("create")
    with session(server, maintenance_database(database)) as connection:
        alter.drop(connection, database)
        alter.create(connection, database, manifest.properties)
    try:
        fill(server, database, generation.dump, settings, said, fingerprint=expected)
    except ProcessFailed as error:
        if error.completed.exit_code in KILLED or NOT_THE_DUMP.search(error.evidence):
            raise
        raise VerificationFailed(
            f"{generation.dump.name} cannot be restored into an empty server",
            state=NOT_PROVEN,
            hint="mend in the live database what it says, make a new backup and verify that",
            evidence=error.evidence,
        ) from error


def _compare(subject: Subject, said: Callable[[str], None]) -> Comparison:
    # The server is thrown away, and what compares reads all there is: only probes want statistics.
    if subject.expected.probes:
        said("analyze")
        analyze(subject.server, subject.database, subject.jobs)
    comparison = prove(subject, Stripped(), said)
    require_equal(
        comparison,
        f"what {subject.dump.name} restores",
        state=NOT_PROVEN,
        hint="make a new backup and verify that; keep this one for a look",
    )
    return comparison
