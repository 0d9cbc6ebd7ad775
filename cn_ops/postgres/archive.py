"""Dumps as files: what they are, and whether all of their content can be read."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cn_ops.errors import MissingError, OpsError, UsageError, VerificationFailed
from cn_ops.files import explained
from cn_ops.postgres.directory import check_members, contents_only, is_packed
from cn_ops.postgres.folders import feed, placed
from cn_ops.process import ProcessFailed
from cn_ops.stack import Server

# A tool that was killed says nothing of the dump: by SIGKILL or SIGTERM, here or in a container.
KILLED = (-9, -15, 137, 143)
CUSTOM_MAGIC = b"PGDMP"
# What pg_restore says of an archive whose format its version does not know yet.
NEWER_FORMAT = "unsupported version"
NO_SPACE = "No space left on device|Disk quota exceeded"
NOT_BUILT_IN = "this build does not support compression"
# How other files that people take for a dump begin, and what they are.
LOOK_ALIKES: tuple[tuple[bytes, str, str], ...] = (
    (
        b"--\n-- PostgreSQL database",
        "a plain SQL dump",
        "restore it by hand with psql, or dump again with --format=custom",
    ),
    (b"\x1f\x8b", "compressed with gzip", "unpack it first: gunzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it first: unzstd"),
    (b"toc.dat", "a dump in tar format", "restore it by hand with pg_restore, or dump again with --format=custom"),
)


@dataclass(frozen=True)
class Archive:
    """A dump whose content was read in full."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Header:
    """What a dump says of itself; ``server_version`` is that of the server it was taken from."""

    database: str
    server_version: str
    tool_version: str
    entries: int


def check_file(path: Path) -> None:
    """Check that a file is there, can be read, and begins like a dump that can be restored.

    Raises ``UsageError`` for what is no such dump, ``VerificationFailed`` for an empty one.
    """
    unchanged = "nothing was changed"
    if path.is_dir():
        kind = "a dump in directory format" if (path / "toc.dat").exists() else "a directory"
        raise UsageError(
            f"{path} is {kind}",
            state=unchanged,
            hint="pack it: `tar -cf x.dump dump`, with toc.dat last, or name a dump file",
        )
    if not path.exists():
        raise UsageError(f"the dump {path} is not there", state=unchanged, hint="`inv backups` lists what there is")
    if not path.is_file():
        raise UsageError(f"{path} is not a regular file", state=unchanged, hint="name a dump file")
    try:
        with path.open("rb") as stream:
            head = stream.read(512)
    except OSError as error:
        raise explained(error, path, "read").with_state(unchanged) from error
    if not head:
        raise VerificationFailed(f"the dump {path} is empty", state=unchanged, hint="use another: `inv backups`")
    if not head.startswith(CUSTOM_MAGIC) and not is_packed(head):
        for magic, what, hint in LOOK_ALIKES:
            if head.startswith(magic):
                raise UsageError(
                    f"{path} is {what}: only the custom format, and what cn-ops itself packs, is restored",
                    state=unchanged,
                    hint=hint,
                )
        raise UsageError(
            f"{path} is no dump in pg_dump's custom format", state=unchanged, hint="use another: `inv backups`"
        )


def is_directory(path: Path) -> bool:
    """Whether a dump is one in directory format, packed into this file."""
    with path.open("rb") as stream:
        return is_packed(stream.read(512))


@contextmanager
def contents(server: Server, path: Path) -> Iterator[tuple[list[str], BinaryIO | None]]:
    """Give what pg_restore is to be told, and its input, to read a dump's table of contents.

    That is all that is needed to list a dump, or to make its schema.
    """
    if not is_directory(path):
        with path.open("rb") as stream:
            yield [], stream
        return
    packed = contents_only(path)
    with placed(server, io.BytesIO(packed), len(packed), "archive") as folder:
        yield [folder], None


@contextmanager
def sought(server: Server, path: Path, seen: Callable[[bytes], None] | None = None) -> Iterator[str]:
    """Give a dump's path as the tools see it, where they can seek in it: as it is, or put beside them.

    ``seen`` gets every byte of a dump in directory format.
    """
    packed = is_directory(path)
    if not packed and server.reads_files:
        yield str(path)
        return
    if packed:
        check_members(path)
    with (
        path.open("rb") as stream,
        placed(
            server, stream, path.stat().st_size, "archive" if packed else "file", seen or (lambda _: None)
        ) as there,
    ):
        yield there


def read_header(server: Server, path: Path) -> Header:
    """Read a dump's table of contents; raises ``VerificationFailed`` when that cannot be done."""
    try:
        with contents(server, path) as (arguments, stream):
            listing = server.tool(["pg_restore", "--list", *arguments], stdin=stream).stdout
    except ProcessFailed as error:
        raise _unreadable(server, path, error) from error
    return parse_header(listing)


def parse_header(listing: str) -> Header:
    """Read the head of `pg_restore --list`."""

    def field(name: str) -> str:
        found = re.search(rf"^;\s*{name}: (.*)$", listing, re.MULTILINE)
        return found[1].strip() if found else ""

    return Header(
        database=field("dbname"),
        server_version=field("Dumped from database version").split(" ")[0],
        tool_version=field("Dumped by pg_dump version").split(" ")[0],
        entries=int(field("TOC Entries") or 0),
    )


def read_in_full(server: Server, path: Path, advanced: Callable[[int], None] = lambda _: None) -> Archive:
    """Restore a dump to nowhere and hash it in the same pass.

    Raises ``VerificationFailed`` when pg_restore cannot read all of it; a flipped byte in uncompressed data
    is seen by nobody but the one who compares the hash.
    """
    seen = _Seen(advanced)
    try:
        if is_directory(path):
            with sought(server, path, seen) as folder:
                server.tool(["pg_restore", "--file=/dev/null", folder])
        else:
            _read_stream(server, path, seen)
    except ProcessFailed as error:
        raise _unreadable(server, path, error) from error
    return Archive(seen.digest.hexdigest(), seen.size)


class _Seen:
    """Hashes and counts what it is given."""

    def __init__(self, advanced: Callable[[int], None]) -> None:
        self._advanced = advanced
        self.digest = hashlib.sha256()
        self.size = 0

    def __call__(self, chunk: bytes) -> None:
        self.digest.update(chunk)
        self.size += len(chunk)
        self._advanced(self.size)


def _read_stream(server: Server, path: Path, seen: Callable[[bytes], None]) -> None:
    reading, writing = os.pipe()
    with (
        path.open("rb") as source,
        os.fdopen(reading, "rb") as tail,
        os.fdopen(writing, "wb", buffering=0) as sink,
        server.tool_started(["pg_restore", "--file=/dev/null"], stdin=tail) as running,
    ):
        tail.close()
        feed(source, sink, seen)  # the hash wants every byte, also when nobody listens any more
        sink.close()
        running.wait()


def _unreadable(server: Server, path: Path, error: ProcessFailed) -> OpsError:
    if error.completed.exit_code in KILLED:
        return error.with_state("nothing was changed").with_hint("something killed it: is there enough memory?")
    if re.search(NO_SPACE, error.evidence):
        return MissingError(
            f"there is no room beside the client tools for what is in {path}",
            state="nothing was changed",
            hint="free some space where they keep what is temporary (in a container, on its writable layer)",
            evidence=error.evidence,
        )
    if NOT_BUILT_IN in error.evidence:
        return MissingError(
            f"the client tools cannot read {path}: they were built without its compression",
            state="nothing was changed",
            hint="use tools that have it, or make dumps with `backup.preset: compatible`",
            evidence=error.evidence,
        )
    # A stack that cannot run the tool at all would make every dump look damaged: that raises here.
    version = server.tool(["pg_restore", "--version"]).stdout.strip()
    if NEWER_FORMAT in error.evidence:
        return UsageError(
            f"the dump {path} was made by a newer pg_dump than {version} can read",
            state="nothing was changed",
            hint="restore it into a server of the version that it comes from, or of a newer one",
            evidence=error.evidence,
        )
    return VerificationFailed(
        f"the dump {path} is damaged: pg_restore cannot read all of it",
        state="nothing was changed",
        hint="use another generation: `inv backups`",
        evidence=error.evidence,
    )
