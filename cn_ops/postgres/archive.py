"""Dumps as files: what they are, and whether all of their content can be read."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cn_ops.errors import OpsError, UsageError, VerificationFailed
from cn_ops.files import CHUNK_BYTES, explained
from cn_ops.process import ProcessFailed
from cn_ops.stack import Server

# A tool that was killed says nothing of the dump: by SIGKILL or SIGTERM, here or in a container.
KILLED = (-9, -15, 137, 143)
CUSTOM_MAGIC = b"PGDMP"
# What pg_restore says of an archive whose format its version does not know yet.
NEWER_FORMAT = "unsupported version"
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
    """Check that a file is there, can be read, and begins like a dump in custom format.

    Raises ``UsageError`` for what is no such dump, ``VerificationFailed`` for an empty one.
    """
    unchanged = "nothing was changed"
    if path.is_dir():
        kind = "a dump in directory format" if (path / "toc.dat").exists() else "a directory"
        raise UsageError(f"{path} is {kind}", state=unchanged, hint="name a dump file in custom format")
    if not path.exists():
        raise UsageError(f"the dump {path} is not there", state=unchanged, hint="`inv backups` lists what there is")
    if not path.is_file():
        raise UsageError(f"{path} is not a regular file", state=unchanged, hint="name a dump file")
    try:
        with path.open("rb") as stream:
            head = stream.read(64)
    except OSError as error:
        raise explained(error, path, "read").with_state(unchanged) from error
    if not head:
        raise VerificationFailed(f"the dump {path} is empty", state=unchanged, hint="use another: `inv backups`")
    if not head.startswith(CUSTOM_MAGIC):
        for magic, what, hint in LOOK_ALIKES:
            if head.startswith(magic):
                raise UsageError(f"{path} is {what}: only the custom format is restored", state=unchanged, hint=hint)
        raise UsageError(
            f"{path} is no dump in pg_dump's custom format", state=unchanged, hint="use another: `inv backups`"
        )


def read_header(server: Server, path: Path) -> Header:
    """Read a dump's table of contents; raises ``VerificationFailed`` when that cannot be done."""
    with path.open("rb") as stream:
        try:
            listing = server.tool(["pg_restore", "--list"], stdin=stream).stdout
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
    reading, writing = os.pipe()
    with path.open("rb") as source, os.fdopen(reading, "rb") as tail, os.fdopen(writing, "wb", buffering=0) as sink:
        try:
            with server.tool_started(["pg_restore", "--file=/dev/null"], stdin=tail) as running:
                tail.close()
                archive = _feed(source, sink, advanced)
                sink.close()
                running.wait()
        except ProcessFailed as error:
            raise _unreadable(server, path, error) from error
    return archive


def _feed(source: BinaryIO, sink: BinaryIO, advanced: Callable[[int], None]) -> Archive:
    digest = hashlib.sha256()
    size = 0
    listening = True
    while chunk := source.read(CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
        if listening:
            # A reader that has gone away says why in its exit code; the hash still wants every byte.
            listening = _write(sink, chunk)
        advanced(size)
    return Archive(digest.hexdigest(), size)


def _write(sink: BinaryIO, chunk: bytes) -> bool:
    rest = memoryview(chunk)
    with suppress(BrokenPipeError):
        while rest:
            rest = rest[sink.write(rest) :]
        return True
    return False


def _unreadable(server: Server, path: Path, error: ProcessFailed) -> OpsError:
    if error.completed.exit_code in KILLED:
        return error.with_state("nothing was changed").with_hint("something killed it: is there enough memory?")
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
