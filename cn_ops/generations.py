"""The backup folder: which generations there are, and how one comes to be and goes.

A generation exists if and only if its manifest does, so that is what is written last and removed first.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from cn_ops.errors import OperationFailed, OpsError, UsageError
from cn_ops.files import explained, lock, private_folder, sync_folder
from cn_ops.manifest import read_manifest, write_manifest
from cn_ops.model import Catalogue, Generation, GenerationState, Manifest

ID_PATTERN = r"\d{8}-\d{6}(?:-\d+)?"
MANIFEST_SUFFIX = ".manifest.json"
LOCK_NAME = ".cn-ops.lock"
NOTHING_MADE = "no generation was made; earlier ones are untouched"


def new_id(now: datetime, taken: int = 0) -> str:
    """Return a generation's id: UTC, to the second, with a number behind it where that second is taken."""
    stamp = now.astimezone(UTC).strftime("%Y%m%d-%H%M%S")
    return f"{stamp}-{taken + 1}" if taken else stamp


def sort_key(generation_id: str) -> tuple[str, int]:
    """Order ids by time, then by number."""
    stamp, _, number = generation_id[:15], generation_id[15:16], generation_id[16:]
    return stamp, int(number or 1)


@contextmanager
def folder_lock(directory: Path, operation: str) -> Iterator[None]:
    """Hold a backup folder while generations are made, read for a restore, or removed."""
    with lock(directory / LOCK_NAME, operation):
        yield


@dataclass(frozen=True)
class Draft:
    """A generation that is being made: its files are aside until they are published."""

    id: str
    directory: Path
    prefix: str
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

    def publish(self, manifest: Manifest) -> Path:
        """Give the files their names, the manifest last; return the dump."""
        if manifest.globals_file:
            self.aside(".globals.sql").rename(self.path(".globals.sql"))
        self.aside(".dump").rename(self.path(".dump"))
        sync_folder(self.directory)
        write_manifest(self.path(MANIFEST_SUFFIX), manifest)
        return self.path(".dump")


@contextmanager
def draft(directory: Path, prefix: str, now: datetime) -> Iterator[Draft]:
    """Make room for a new generation; what was not published is removed, however the block ends.

    Raises ``UsageError`` when the folder cannot be written, ``MissingError`` when the disk is full.
    """
    private_folder(directory)
    _remove_left_behind(directory, prefix)
    made = _reserve(directory, prefix, now)
    try:
        with made.dump, made.globals:
            yield made
    except OSError as error:
        raise explained(error, made.path(".dump"), "write").with_state(NOTHING_MADE) from error
    except OpsError as error:
        error.with_state(NOTHING_MADE).with_hint("mend the cause, then run the backup again")
        raise
    finally:
        made.aside(".dump").unlink(missing_ok=True)
        made.aside(".globals.sql").unlink(missing_ok=True)
        if not made.path(MANIFEST_SUFFIX).exists():
            made.path(".dump").unlink(missing_ok=True)
            made.path(".globals.sql").unlink(missing_ok=True)


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
    partial = re.compile(rf"\.{re.escape(prefix)}-.*\.partial")
    foreign = tuple(directory / name for name in names if name not in owned and not partial.fullmatch(name))
    return Catalogue(directory, tuple(generations), foreign)


def find_generation(catalogue: Catalogue, wanted: str) -> Generation | None:
    """Return the generation that `latest` or an id names, or None when it is neither.

    Raises ``UsageError`` when `latest` finds none.
    """
    if wanted == "latest":
        if not catalogue.complete:
            raise UsageError(
                f"there is no complete generation in {catalogue.directory}",
                state="nothing was changed",
                hint="make one: `inv backup`, or name a file: `--dump=PATH`",
            )
        return catalogue.complete[0]
    return next((one for one in catalogue.generations if one.id == wanted), None)


def generation_of(dump: Path) -> Generation | None:
    """Return the generation that a dump file belongs to, or None when no manifest is beside it."""
    found = re.fullmatch(rf".*?({ID_PATTERN})\.dump", dump.name)
    manifest_file = dump.with_name(dump.name.removesuffix(".dump") + MANIFEST_SUFFIX)
    return _read_generation(manifest_file, found[1]) if found and manifest_file.exists() else None


def remove_generation(generation: Generation) -> None:
    """Remove a generation: the manifest first, so that a half removed one does not exist."""
    for path in generation.files:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise explained(error, path, "remove") from error
        sync_folder(path.parent)


def _read_generation(manifest_file: Path, generation_id: str) -> Generation:
    dump = manifest_file.with_name(manifest_file.name.removesuffix(MANIFEST_SUFFIX) + ".dump")
    try:
        manifest = read_manifest(manifest_file)
        problem = _problem(manifest, dump, generation_id)
    except OpsError as error:
        return Generation(generation_id, dump, manifest_file, GenerationState.DAMAGED, problem=error.message)
    state = GenerationState.DAMAGED if problem else GenerationState.COMPLETE
    return Generation(generation_id, dump, manifest_file, state, manifest, problem)


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


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _reserve(directory: Path, prefix: str, now: datetime) -> Draft:
    for taken in range(1000):
        generation_id = new_id(now, taken)
        stem = directory / f"{prefix}-{generation_id}"
        if any(stem.with_name(stem.name + suffix).exists() for suffix in (".dump", ".globals.sql", MANIFEST_SUFFIX)):
            continue
        with suppress(FileExistsError):
            dump = _create(_aside(stem.with_name(stem.name + ".dump")))
            sql = _create(_aside(stem.with_name(stem.name + ".globals.sql")))
            return Draft(generation_id, directory, prefix, dump, sql)
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


def _remove_left_behind(directory: Path, prefix: str) -> None:
    for path in directory.glob(f".{prefix}-*.partial"):
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(descriptor)
