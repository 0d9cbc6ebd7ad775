"""Run `inv verify` and `inv compare`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cn_ops.errors import RUN_AGAIN, OpsError, UsageError, VerificationFailed, saying
from cn_ops.files import lock, private_folder
from cn_ops.fingerprint import Comparison, Stripped
from cn_ops.generations import read_catalogue
from cn_ops.manifest import read_fingerprint
from cn_ops.masking import mask
from cn_ops.model import VerifyResult
from cn_ops.operation import verify_lock_path
from cn_ops.phases import Phases
from cn_ops.postgres.database import system_identifier
from cn_ops.postgres.session import maintenance_database, session
from cn_ops.postgres.tools import check_tools
from cn_ops.proof import Subject, prove
from cn_ops.source import CHOSEN, Source, find_source, passed_over, require_whole
from cn_ops.stack import Stack
from cn_ops.stack.server import ServerStack
from cn_ops.stack.server_address import address_of_dsn
from cn_ops.stack.server_dsn import BadDsn
from cn_ops.tasks.setup import Prepared
from cn_ops.verify import due, verify


def chosen(ready: Prepared, stack: Stack, dump: str, days: int | None, *, every: bool) -> tuple[Source, ...]:
    """Return what is to be verified; raises ``UsageError`` for options that do not go together."""
    settings = ready.loaded.settings
    if not every:
        if days is not None:
            raise UsageError("--older-than goes with --all", state="nothing was changed")
        # On a machine that only verifies, the settings may name no database.
        return (_of_stack(ready, stack, dump, or_any=True),)
    if dump != "latest":
        raise UsageError("--all verifies every generation: leave --dump out", state="nothing was changed")
    catalogue = read_catalogue(settings.backup.directory, settings.backup.prefix)
    if not catalogue.generations:
        raise UsageError(
            f"there is no generation in {catalogue.directory}",
            state="nothing was changed",
            hint="make one: `inv backup`; is backup.directory right?",
        )
    older_than = None if days is None else timedelta(days=days)
    # Damaged ones are not restored, and not passed over either: they fail at once.
    found = due(catalogue.generations, older_than, datetime.now(UTC))
    return tuple(Source(one.dump, one) for one in found)


def _of_stack(ready: Prepared, stack: Stack, dump: str, *, or_any: bool = False) -> Source:
    """Find what `--dump` names; `latest` and its like are of this stack's database, and of its cluster."""
    settings = ready.loaded.settings
    database, cluster = settings.stack.postgres.database, None
    # A server that is lost is no reason not to prove a backup.
    with suppress(OpsError):
        if dump in CHOSEN and settings.stack.postgres.service in stack.running():
            with session(stack, maintenance_database(database)) as connection:
                cluster = system_identifier(connection)
    if dump == "latest":
        catalogue = read_catalogue(settings.backup.directory, settings.backup.prefix)
        for warning in passed_over(catalogue.of(database, cluster)):
            ready.progress.warned(warning)
    return find_source(settings.backup, dump, Path.cwd(), database=database, cluster=cluster, or_any=or_any)


def run_verify(ready: Prepared, stack: Stack, sources: Sequence[Source]) -> tuple[VerifyResult, ...]:
    """Verify one after the other, in one scratch server of the stack at a time.

    Raises ``VerificationFailed`` at the end for all that are not proven: one damaged one says nothing of the next.
    """
    settings = ready.loaded.settings
    private_folder(settings.state)
    results: list[VerifyResult] = []
    failures: list[tuple[Source, VerificationFailed]] = []
    with lock(verify_lock_path(settings, stack), "verify"):
        for source in sources:
            ready.progress.said(source.path.name)
            try:
                require_whole(source)
                results.append(verify(stack, source, settings.restore, Phases(ready.progress)))
            except VerificationFailed as error:
                failures.append((source, error))
    if failures:
        raise _not_proven(failures, len(sources))
    return tuple(results)


def _not_proven(failures: Sequence[tuple[Source, VerificationFailed]], tried: int) -> VerificationFailed:
    if tried == 1:
        return failures[0][1]
    return VerificationFailed(
        f"{len(failures)} of {tried} generations are not proven",
        state="the live database was not touched; the others are proven, and that is on record",
        hint="make a new backup and verify that; look at one alone with `inv verify --dump=ID`",
        evidence="\n".join(f"{source.path.name}: {error.message}\n{error.evidence}" for source, error in failures),
    )


def run_compare(ready: Prepared, dump: str, database: str, dsn: str) -> tuple[Subject, Comparison]:
    """Compare a database of the chosen stack, or the one that a DSN leads to, with a generation; return both."""
    settings = ready.loaded.settings
    stack: Stack
    if dsn:
        stack = server = _server(ready, dsn)
        database = server.address.database
        source = find_source(settings.backup, dump, Path.cwd(), database=settings.stack.postgres.database)
    else:
        stack = ready.choose().stack
        source = _of_stack(ready, stack, dump)
    if source.generation is None:
        raise UsageError(
            f"{source.path} has no manifest: there is nothing to compare with",
            state="nothing was changed",
            hint="name a generation: `inv backups` lists them",
        )
    check_tools(stack, restoring=False)
    phases = Phases(ready.progress)
    with saying("nothing was changed", RUN_AGAIN), phases.phase("compare") as step:
        live = settings.stack.postgres.database
        name = database or live
        subject = Subject(stack, name, read_fingerprint(source.generation.manifest_file), source.path, live)
        comparison = prove(subject, Stripped(), step.advanced)
        count = len(comparison.differences)
        found = "equal" if comparison.equal else f"{count} difference{'s' if count > 1 else ''}"
        step.detail = f"{found}: {name} with {source.path.name}"
    return subject, comparison


def _server(ready: Prepared, dsn: str) -> ServerStack:
    try:
        address = address_of_dsn(dsn, os.environ)
    except BadDsn as error:
        raise UsageError(f"--dsn {error}", state="nothing was changed") from error
    if mask(dsn) != dsn:
        ready.progress.warned(
            "everybody on this machine can read the password in --dsn: PGPASSWORD, ~/.pgpass or a service hide it"
        )
    return ServerStack(ready.loaded.settings, address)
