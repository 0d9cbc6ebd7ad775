"""The backup folder: which generations there are, and how one comes to be and goes.

A generation exists if and only if its manifest does, so that is what is written last and removed first.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from cn_ops.errors import MEND, Interrupted, OperationFailed, OpsError, UsageError, saying
from cn_ops.files import explained, left_behind, lock, private_folder, sync_folder
from cn_ops.fingerprint import Fingerprint
from cn_ops.manifest import read_manifest, read_proof, write_manifest
from cn_ops.model import Catalogue, Generation, GenerationState, Manifest, Proof
from cn_ops.names import ID_PATTERN, new_id, sort_key

MANIFEST_SUFFIX = ".manifest.json"
# Of the files beside a manifest.
FILE_SUFFIXES = (".dump", ".globals.sql", ".proof.json")
LOCK_NAME = ".cn-ops.lock"
NOTHING_MADE = "no generation was made; earlier ones are untouched"


@contextmanager
def folder_lock(directory: Path, operation: str, *, reading: bool = False) -> Iterator[None]:
    """Hold a backup folder while generations are made, removed, or, where ``reading``, restored.

    One that is mounted to be read only here may be written to elsewhere: its lock is held without writing to it.
    """
    with lock(directory / LOCK_NAME, operation, reading=reading):
        yield


@dataclass(frozen=True)
class Draft:
    """A generation that is being made: its files are aside until they are published.

    ``mark`` is there as long as the files may have their names and not yet a manifest.
    """

    id: str
    directory: Path
    prefix: str
    mark: BinaryIO
    dump: BinaryIO
    globals: BinaryIO

    def path(self, suffix: str) -> Path:
        """Return the final name of one of its files."""
        return self.directory / f"{self.prefix}-{self.id}{suffix}"

    def aside(self, suffix: str) -> Path:
        """Return the name that a file has until it is published."""
        return _aside(self.path(suffix))

    def sync(self) -> None:
        """Put everything written so far on disk."""
        for stream in (self.dump, self.globals):
            stream.flush()
            os.fsync(stream.fileno())

    def publish(self, manifest: Manifest, fingerprint: Fingerprint) -> Path:
        """Give the files their names, the manifest last; return the dump."""
        if manifest.globals_file:
            self.aside(".globals.sql").rename(self.path(".globals.sql"))
        self.aside(".dump").rename(self.path(".dump"))
        sync_folder(self.directory)
        try:
            write_manifest(self.path(MANIFEST_SUFFIX), manifest, fingerprint)
        except BaseException:
            # It may have its name and not be on disk for good: a failure must not have made a generation.
            self.path(MANIFEST_SUFFIX).unlink(missing_ok=True)
            raise
        return self.path(".dump")


@contextmanager
def draft(directory: Path, prefix: str, now: datetime) -> Iterator[Draft]:
    """Make room for a new generation; what was not published is removed, however the block ends.

    Raises ``UsageError`` when the folder cannot be written, ``MissingError`` when the disk is full.
    """
    private_folder(directory)
    remove_left_behind(directory, prefix)
    made = _reserve(directory, prefix, now)
    try:
        with saying(NOTHING_MADE, f"{MEND}run the backup again"), made.mark, made.dump, made.globals:
            yield made
    except OSError as error:
        raise explained(error, made.path(".dump"), "write").with_state(NOTHING_MADE) from error
    except Interrupted as error:
        if made.path(MANIFEST_SUFFIX).exists():
            error.state = f"the new generation {made.id} is complete; no old one was removed"
        raise
    finally:
        # What cannot be removed now is found by its mark, and removed by the next command.
        with suppress(OSError):
            made.aside(".dump").unlink(missing_ok=True)
            made.aside(".globals.sql").unlink(missing_ok=True)
            _remove_marked(made.aside(MANIFEST_SUFFIX))


def read_catalogue(directory: Path, prefix: str) -> Catalogue:
    """Read which generations there are, and which files are somebody else's.

    Sizes are checked, contents are not: that is what `inv verify` and a restore are for.
    """
    if not directory.exists():
        return Catalogue(directory, (), ())
    try:
        names = sorted(entry.name for entry in os.scandir(directory))
    except OSError as error:
        raise explained(error, directory, "list") from error
    pattern = re.compile(rf"{re.escape(prefix)}-({ID_PATTERN}){re.escape(MANIFEST_SUFFIX)}")
    generations = [
        _read_generation(directory / name, found[1]) for name in names if (found := pattern.fullmatch(name))
    ]
    generations.sort(key=lambda one: sort_key(one.id), reverse=True)
    owned = {path.name for one in generations for path in one.files} | {LOCK_NAME}
    # What a killed command has left half made or half removed, and the next one removes.
    partial = re.compile(rf"\.{re.escape(prefix)}-{ID_PATTERN}\..*\.partial")
    left = [directory / name for name in names if partial.fullmatch(name)]
    owned |= {path.name for path in left} | {path.name for mark in left for path in _marked(mark)}
    foreign = tuple(directory / name for name in names if name not in owned)
    return Catalogue(directory, tuple(generations), foreign)


def find_generation(catalogue: Catalogue, wanted: str) -> Generation | None:
    """Return the generation that `latest`, `latest-proven`, `random` or an id names, or None when it is none of them.

    `random` takes one that was never proven, or else the one whose proof is oldest. Raises ``UsageError`` when
    there is nothing to take.
    """
    if wanted == "latest-proven":
        if not catalogue.proven:
            raise UsageError(
                f"there is no proven generation in {catalogue.directory}",
                state="nothing was changed",
                hint="prove one: `inv verify --dump=latest`",
            )
        return catalogue.proven[0]
    if wanted in ("latest", "random"):
        if not catalogue.complete:
            raise UsageError(
                f"there is no complete generation in {catalogue.directory}",
                state="nothing was changed",
                hint="make one: `inv backup`, or name a file: `--dump=PATH`",
            )
        return catalogue.complete[0] if wanted == "latest" else _longest_unproven(catalogue)
    return next((one for one in catalogue.generations if one.id == wanted), None)


def _longest_unproven(catalogue: Catalogue) -> Generation:
    unproven = [one for one in catalogue.complete if one.proof is None]
    if unproven:
        return secrets.choice(unproven)
    now = datetime.now(UTC)
    return max(catalogue.complete, key=lambda one: proof_age(one.proof, now) if one.proof else timedelta.max)


def proof_age(proof: Proof, now: datetime) -> timedelta:
    """Return how long ago a proof was; what a wrong clock has dated in the future is as old as it is ahead."""
    return abs(now - datetime.fromisoformat(proof.proven_at))


def generation_of(dump: Path) -> Generation | None:
    """Return the generation that a dump file belongs to, or None when no manifest is beside it."""
    found = re.fullmatch(rf".*?({ID_PATTERN})\.dump", dump.name)
    manifest_file = dump.with_name(dump.name.removesuffix(".dump") + MANIFEST_SUFFIX)
    return _read_generation(manifest_file, found[1]) if found and manifest_file.exists() else None


def remove_generation(generation: Generation) -> None:
    """Remove a generation: it ends when its manifest becomes the mark by which a later command finds the rest."""
    manifest_file = generation.manifest_file
    mark = _aside(manifest_file)
    try:
        with suppress(FileNotFoundError):
            manifest_file.rename(mark)
        sync_folder(mark.parent)
        _remove_marked(mark)
        sync_folder(mark.parent)
    except OSError as error:
        raise explained(error, manifest_file, "remove") from error


def remove_left_behind(directory: Path, prefix: str) -> None:
    """Remove what killed commands left half made or half removed; the caller holds the folder's lock.

    What somebody still writes is left alone, and so is what cannot be removed.
    """
    # Of this very prefix: `a-b-ID` is not one of `a`.
    own = re.compile(rf"\.{re.escape(prefix)}-{ID_PATTERN}(\..*)\.partial")
    for path in sorted(directory.glob(".*.partial")):
        if found := own.fullmatch(path.name):
            with suppress(OSError), left_behind(path):
                if found[1] == MANIFEST_SUFFIX:
                    _remove_marked(path)
                else:
                    path.unlink()


def _remove_marked(mark: Path) -> None:
    """Remove a mark, and before it the files of which it tells."""
    if files := _marked(mark):
        for path in files:
            path.unlink(missing_ok=True)
        sync_folder(mark.parent)
    mark.unlink(missing_ok=True)


def _marked(mark: Path) -> tuple[Path, ...]:
    """Return the files of which a mark says that they belong to no generation; none for another file's name."""
    manifest_file = mark.with_name(mark.name.removeprefix(".").removesuffix(".partial"))
    if not manifest_file.name.endswith(MANIFEST_SUFFIX) or manifest_file.exists():
        return ()
    return tuple(_sibling(manifest_file, suffix) for suffix in FILE_SUFFIXES)


def _read_generation(manifest_file: Path, generation_id: str) -> Generation:
    dump = _sibling(manifest_file, ".dump")
    try:
        manifest = read_manifest(manifest_file)
        problem = _problem(manifest, dump, generation_id)
    except OpsError as error:
        return Generation(generation_id, dump, manifest_file, GenerationState.DAMAGED, problem=error.message)
    found = Generation(generation_id, dump, manifest_file, GenerationState.DAMAGED, manifest, problem)
    if problem:
        return found
    # Without its roles it can be restored on the server that has them, and is not what was proven.
    proof = read_proof(found.proof_file, manifest.sha256) if _has_globals(manifest, dump) else None
    return replace(found, state=GenerationState.PROVEN if proof else GenerationState.COMPLETE, proof=proof)


def _has_globals(manifest: Manifest, dump: Path) -> bool:
    return manifest.globals_file is None or dump.with_name(manifest.globals_file).exists()


def _problem(manifest: Manifest, dump: Path, generation_id: str) -> str:
    if manifest.id != generation_id or manifest.dump_file != dump.name:
        return f"its manifest is that of {manifest.dump_file}"
    if manifest.globals_file not in (None, dump.name.removesuffix(".dump") + ".globals.sql"):
        return f"its manifest names another generation's {manifest.globals_file}"
    try:
        size = dump.stat().st_size
    except FileNotFoundError:
        return "its dump is gone"
    except OSError as error:
        return f"its dump cannot be read: {error.strerror}"
    if size != manifest.size_bytes:
        return f"its dump has {size} bytes and had {manifest.size_bytes}"
    return ""


def _sibling(manifest_file: Path, suffix: str) -> Path:
    return manifest_file.with_name(manifest_file.name.removesuffix(MANIFEST_SUFFIX) + suffix)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _reserve(directory: Path, prefix: str, now: datetime) -> Draft:
    for taken in range(1000):
        generation_id = new_id(now, taken)
        stem = directory / f"{prefix}-{generation_id}"
        if any(stem.with_name(stem.name + suffix).exists() for suffix in (*FILE_SUFFIXES, MANIFEST_SUFFIX)):
            continue
        with suppress(FileExistsError):
            mark = _create(_aside(stem.with_name(stem.name + MANIFEST_SUFFIX)))
            dump = _create(_aside(stem.with_name(stem.name + ".dump")))
            sql = _create(_aside(stem.with_name(stem.name + ".globals.sql")))
            return Draft(generation_id, directory, prefix, mark, dump, sql)
    raise OperationFailed(f"no free name for a generation in {directory}", hint="is the clock right?")


def _create(path: Path) -> BinaryIO:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno == errno.EEXIST:
            raise
        raise explained(error, path, "write").with_state(NOTHING_MADE) from error
    # Held as long as it is written, so that another command can tell it from one that a killed one left.
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return os.fdopen(descriptor, "w+b")
