"""The dump that a restore is asked for: which one it is, and whether it is good, before anything is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cn_ops.errors import UNCHANGED, OperationFailed, UsageError, VerificationFailed
from cn_ops.files import explained
from cn_ops.generations import find_generation, generation_of, read_catalogue
from cn_ops.manifest import read_fingerprint
from cn_ops.model import Catalogue, Generation, GenerationState, Manifest
from cn_ops.postgres.archive import Archive, Header, check_file, read_header, read_in_full
from cn_ops.postgres.database import major, server_version
from cn_ops.postgres.session import maintenance_database, session
from cn_ops.settings import BackupSettings
from cn_ops.stack import Server

SHOWN_IDS = 5
# What `--dump` may say instead of naming one.
CHOSEN = ("latest", "latest-proven", "random")


@dataclass(frozen=True)
class Source:
    """A dump and, unless it was made by hand or by the old script, its generation."""

    path: Path
    generation: Generation | None

    @property
    def manifest(self) -> Manifest | None:
        """What is known to be in it."""
        return self.generation.manifest if self.generation else None


@dataclass(frozen=True)
class CheckedSource:
    """A dump that was read in full and found to be what its manifest says."""

    source: Source
    header: Header
    archive: Archive


def find_source(
    settings: BackupSettings,
    wanted: str,
    cwd: Path,
    *,
    database: str = "",
    cluster: str | None = None,
    or_any: bool = False,
) -> Source:
    """Find what `--dump` names: `latest`, a generation's id, or a path.

    `latest` and its like are of ``database`` (empty: of any), for the folder may be shared, and of ``cluster`` where
    there is one of it; ``or_any`` takes another's where there is none. Raises ``UsageError`` naming what there is.
    """
    catalogue = read_catalogue(settings.directory, settings.prefix)
    own = catalogue.of(database, cluster) if database and wanted in CHOSEN else catalogue
    if or_any and not own.complete:
        own = catalogue
    if catalogue.complete and not own.complete:
        raise UsageError(
            f"no complete generation in {catalogue.directory} is of the database {database!r}",
            state=UNCHANGED,
            hint=f"make one: `inv backup`; if you mean another's: --dump={catalogue.complete[0].id}",
        )
    generation = find_generation(own, wanted)
    if generation is None and (path := _path(cwd, wanted)):
        generation = generation_of(path)
        if generation is None:
            return Source(path, None)
    if generation is None:
        known = [one.id for one in catalogue.complete[:SHOWN_IDS]]
        raise UsageError(
            f"--dump={wanted!r} is neither `latest`, nor the id of a generation, nor a file",
            state=UNCHANGED,
            hint=f"the newest ids: {', '.join(known)}" if known else f"none is complete in {catalogue.directory}",
        )
    found = Source(generation.dump, generation)
    require_whole(found)
    return found


def require_whole(source: Source) -> None:
    """Raise ``VerificationFailed`` for a generation of which a look at its files says that it is damaged."""
    generation = source.generation
    if generation and generation.state is GenerationState.DAMAGED:
        raise VerificationFailed(
            f"the generation {generation.id} is damaged: {generation.problem}",
            state=UNCHANGED,
            hint="use another: `inv backups`",
        )


def passed_over(catalogue: Catalogue) -> Iterator[str]:
    """Say of what `latest` of a catalogue passes over that it is damaged: it is older than it seems."""
    for one in catalogue.passed_over:
        yield f"the newer generation {one.id} is damaged, and an older one is taken: {one.problem}"


def foreign_database(source: Source, database: str) -> str:
    """Return what to warn of when somebody has named a generation of another database, or nothing."""
    manifest = source.manifest
    if manifest is None or manifest.database == database:
        return ""
    return f"the generation {manifest.id} is of the database {manifest.database!r}, not of {database!r}"


def check_source(
    server: Server, source: Source, advanced: Callable[[int], None], *, database: str = ""
) -> CheckedSource:
    """Check a dump against its manifest and the server, and read all of it; ``database``, if any, may be gone.

    Raises ``UsageError`` for a dump that cannot be restored here, ``VerificationFailed`` for a damaged one.
    """
    header = _begun(server, source)
    with session(server, maintenance_database(database)) as connection:
        require_not_newer(source, header, server_version(connection))
    return _read(server, source, header, advanced)


def check_dump(tools: Server, source: Source, advanced: Callable[[int], None]) -> CheckedSource:
    """Check a dump as ``check_source`` does, with the tools beside a server that need not be up yet.

    The server's version is left to ``require_not_newer``.
    """
    return _read(tools, source, _begun(tools, source), advanced)


def require_not_newer(source: Source, header: Header, version: str) -> None:
    """Raise ``UsageError`` when a dump comes from a newer major version than a server's."""
    if header.server_version and major(header.server_version) > major(version):
        raise UsageError(
            f"{source.path} was made by PostgreSQL {header.server_version}, and this server is {version}",
            state=UNCHANGED,
            hint="restore it into a server of that major version or a newer one",
        )


def _begun(tools: Server, source: Source) -> Header:
    check_file(source.path)
    _check_fingerprint(source)
    return read_header(tools, source.path)


def _read(tools: Server, source: Source, header: Header, advanced: Callable[[int], None]) -> CheckedSource:
    archive = read_in_full(tools, source.path, advanced)
    manifest = source.manifest
    if manifest and (archive.sha256, archive.size_bytes) != (manifest.sha256, manifest.size_bytes):
        raise VerificationFailed(
            f"the dump {source.path} is damaged: its sha256 is {archive.sha256}, and was {manifest.sha256}",
            state=UNCHANGED,
            hint="use another generation: `inv backups`",
        )
    return CheckedSource(source, header, archive)


def _check_fingerprint(source: Source) -> None:
    """Read what the restored database will be held against: afterwards would be too late."""
    if source.generation is None:
        return
    try:
        read_fingerprint(source.generation.manifest_file)
    except OperationFailed as error:
        raise VerificationFailed(
            error.message,
            state=UNCHANGED,
            hint=f"{error.hint}; a copy of the dump alone, in another folder, can be restored without proof",
        ) from error


def _path(cwd: Path, wanted: str) -> Path | None:
    """Return the file that a person who typed this meant, be it there or not, or None for no file's name."""
    path = Path(wanted)
    with suppress(RuntimeError):  # `~somebody` whom nobody knows is an ordinary name
        path = path.expanduser()
    try:
        there = bool(wanted) and (cwd / path).exists()
    except OSError as error:
        raise explained(error, cwd / path, "read").with_state(UNCHANGED) from error
    return cwd / path if there or len(path.parts) > 1 or path.suffix == ".dump" else None
