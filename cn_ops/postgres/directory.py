"""A dump in directory format as one file: a tar of pg_dump's folder, which any tar unpacks.

`toc.dat` comes last, for pg_dump writes it last: a file that was cut off has none.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

from cn_ops.errors import VerificationFailed

FOLDER = "dump"
TOC = f"{FOLDER}/toc.dat"
# How such a file begins: its first member is the folder.
MAGIC = f"{FOLDER}/".encode() + b"\0"
BLOCK = 512
CHUNK = 1 << 20
# What pg_dump makes; nothing else is unpacked.
_MEMBER = re.compile(rf"{FOLDER}/[A-Za-z0-9_]+(\.[a-z0-9]+)+")


class Sink(Protocol):
    """What bytes are written to."""

    def write(self, data: bytes, /) -> object:
        """Take bytes."""


class Packer:
    """Writes a folder's files, as they come, as a tar."""

    def __init__(self, target: Sink, advanced: Callable[[int], None]) -> None:
        self._target = target
        self._advanced = advanced
        self._size = 0
        self._add(_header(FOLDER, 0, tarfile.DIRTYPE, 0o700))

    def add(self, name: str, size: int, source: BinaryIO) -> None:
        """Add a file whose content stands next in a stream; raises ``EOFError`` when that ends before it."""
        self._add(_header(name, size, tarfile.REGTYPE, 0o600))
        left = size
        while left:
            chunk = source.read(min(left, CHUNK))
            if not chunk:
                raise EOFError(name)
            self._add(chunk)
            left -= len(chunk)
        self._add(bytes(-size % BLOCK))

    def end(self) -> int:
        """End the tar; return its size."""
        self._add(bytes(2 * BLOCK))
        return self._size

    def _add(self, data: bytes) -> None:
        self._target.write(data)
        self._size += len(data)
        self._advanced(self._size)


def is_packed(head: bytes) -> bool:
    """Whether a file that begins so is such a tar."""
    return head.startswith(MAGIC) and head[257:262] == b"ustar"


def check_members(path: Path) -> None:
    """Check that a tar is whole, and holds what pg_dump makes and nothing else; its contents are not read.

    Raises ``VerificationFailed``.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            names = [_checked(path, member) for member in archive]
            ended = path.stat().st_size >= archive.offset
    except tarfile.TarError as error:
        raise _damaged(path, str(error)) from error
    if names[-1:] != [TOC] or not ended:
        raise _damaged(path, f"its last file is {names[-1] if names else 'not there'}, and not {TOC}")


def contents_only(path: Path) -> bytes:
    """Return a tar of the table of contents alone, which is all that is needed to list a dump or to make its schema.

    Raises ``VerificationFailed`` when it is not there.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            stream = archive.extractfile(TOC)
            content = stream.read() if stream else b""
    except (tarfile.TarError, KeyError) as error:
        raise _damaged(path, str(error)) from error
    padded = content + bytes(-len(content) % BLOCK)
    return _header(FOLDER, 0, tarfile.DIRTYPE, 0o700) + _header(TOC, len(content)) + padded + bytes(2 * BLOCK)


def _checked(path: Path, member: tarfile.TarInfo) -> str:
    ours = member.isdir() and member.name == FOLDER
    if not ours and not (member.isreg() and _MEMBER.fullmatch(member.name)):
        raise _damaged(path, f"it holds {member.name!r}, which pg_dump does not make")
    return member.name


def _damaged(path: Path, why: str) -> VerificationFailed:
    return VerificationFailed(
        f"the dump {path} is damaged: it cannot be unpacked",
        state="nothing was changed",
        hint="use another generation: `inv backups`",
        evidence=why,
    )


def _header(name: str, size: int, kind: bytes = tarfile.REGTYPE, mode: int = 0o600) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type, member.mode = size, kind, mode
    return member.tobuf(tarfile.GNU_FORMAT)
