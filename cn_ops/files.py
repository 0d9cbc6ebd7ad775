"""Files that are either complete or not there, and locks that name their holder."""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from cn_ops.errors import LockHeld, MissingError, OperationFailed, OpsError, UsageError

CHUNK_BYTES = 1 << 20


def explained(error: OSError, path: Path, doing: str) -> OpsError:
    """Turn an operating system's refusal into an error for people."""
    reason = error.strerror or str(error)
    message = f"cannot {doing} {path}: {reason}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return MissingError(message, hint="free some space there, or set another folder, and run it again")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        able = "readable" if doing.startswith(("read", "list")) else "writable"
        return UsageError(message, hint=f"make it {able} for this user, or name another")
    return OperationFailed(message, hint="see what is wrong with that file or its disk, then run it again")


def refused(error: OSError) -> OpsError:
    """Turn a refusal of the operating system's into an error for people, where nobody knows what it was about."""
    return explained(error, Path(str(error.filename or "a file")), "use")


def require_writable(folder: Path, setting: str) -> Path:
    """Raise ``UsageError`` unless files can be made in a folder, or it can be made; return what there is of it."""
    there = next(one for one in (folder, *folder.parents) if one.exists())
    if not there.is_dir():
        raise UsageError(f"{there} is not a folder", hint=f"remove it, or set {setting}")
    # Unlike the mode, this tells of a file system that is read-only.
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"{there} is not writable", hint=f"make it writable for this user, or set {setting}")
    return there


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner can enter, and leave one that exists as it is."""
    if not path.is_dir():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise explained(error, path, "make the folder") from error
    return path


def claim_folder(path: Path, *, mode: int) -> None:
    """Make a folder in a place where everybody can, and refuse one that another user has put there."""
    try:
        path.mkdir(mode=mode)
        path.chmod(mode)  # the umask may have taken some of it away
    except FileExistsError:
        info = path.lstat()
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid():
            raise OperationFailed(
                f"{path} exists and is not ours", hint="another user made it: look at it, and remove it"
            ) from None
    except OSError as error:
        raise explained(error, path, "make the folder") from error


def publish(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write a file aside, sync it and rename it into place: readers see the old file or the new one."""
    _publish(path, (data,), mode)


def _publish(path: Path, chunks: Iterable[bytes], mode: int) -> None:
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", suffix=".partial", delete=False
        ) as aside:
            try:
                fcntl.flock(aside, fcntl.LOCK_EX)  # whoever removes what was left behind leaves this
                aside.writelines(chunks)
                aside.flush()
                os.fchmod(aside.fileno(), mode)
                os.fsync(aside.fileno())
                Path(aside.name).replace(path)
            except BaseException:
                Path(aside.name).unlink(missing_ok=True)
                raise
        sync_folder(path.parent)
    except OSError as error:
        raise explained(error, path, "write") from error


def publish_alone(path: Path, document: object) -> None:
    """Publish a JSON document; what killed writers of it left aside is removed."""
    publish_json(path, document)
    remove_asides(path)


def remove_asides(path: Path) -> None:
    """Remove what killed writers of a file left aside."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        with suppress(OSError), left_behind(left):
            left.unlink()


@contextmanager
def left_behind(path: Path) -> Iterator[None]:
    """Hold a file that was being written for the block; raises ``BlockingIOError`` when somebody still writes it."""
    with path.open("r+b") as stream:  # for writing: else a network file system gives no exclusive lock
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def publish_json(path: Path, document: object, *, mode: int = 0o600) -> None:
    """Publish a JSON document, indented, its keys in their own order; dataclasses are objects.

    A large one is never in memory as a whole.
    """
    encoder = json.JSONEncoder(indent=2, ensure_ascii=False, default=_fields)
    chunks = (chunk.encode() for chunk in encoder.iterencode(document))
    _publish(path, chain(chunks, [b"\n"]), mode)


def remove(path: Path) -> None:
    """Remove a file, if it is there, so that it does not come back with a power cut."""
    try:
        path.unlink()
        sync_folder(path.parent)
    except FileNotFoundError:
        return
    except OSError as error:
        raise explained(error, path, "remove") from error


def sync_folder(path: Path) -> None:
    """Make renames and removals in a folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy_hashed(source: BinaryIO, target: BinaryIO, advanced: Callable[[int], None]) -> tuple[str, int]:
    """Copy until the end and return the SHA-256, in hex, and the number of bytes; ``advanced`` hears of them."""
    digest = hashlib.sha256()
    size = 0
    while chunk := source.read(CHUNK_BYTES):
        digest.update(chunk)
        target.write(chunk)
        size += len(chunk)
        advanced(size)
    return digest.hexdigest(), size


class Hashed:
    """A stream that hashes what is written to it; ``sha256`` is in hex, so far."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """The hash of everything written so far."""
        return self._digest.hexdigest()

    def write(self, data: bytes, /) -> int:
        """Write and hash bytes."""
        self._digest.update(data)
        return self._target.write(data)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True)
class Holder:
    """Who holds a lock."""

    pid: int
    operation: str
    since: str


@contextmanager
def lock(path: Path, operation: str, *, reading: bool = False) -> Iterator[None]:
    """Hold a lock while the block runs; the kernel frees it however the process ends.

    ``reading`` is for what may lie on a file system that is read-only: where nobody has ever locked, nothing is held.
    Raises ``LockHeld`` at once, naming the holder, when another process has it.
    """
    private_folder(path.parent)
    try:
        descriptor = _lock_file(path, reading=reading)
    except OSError as error:
        raise explained(error, path, "open the lock").with_state("this command changed nothing") from error
    if descriptor is None:
        yield
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _held(path, descriptor) from None
        holder = Holder(os.getpid(), operation, datetime.now(UTC).isoformat(timespec="seconds"))
        # Who holds it is for people: a full disk does not keep it from being held.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(asdict(holder)).encode(), 0)
        yield
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _lock_file(path: Path, *, reading: bool) -> int | None:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if not reading or error.errno != errno.EROFS:
            raise
    with suppress(FileNotFoundError):
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    return None


def lock_holder(path: Path) -> Holder | None:
    """Return who of this user holds a lock, without touching it, or None; whoever was killed holds it no more."""
    with suppress(ValueError, TypeError, OSError):
        holder = Holder(**json.loads(path.read_text()))
        os.kill(holder.pid, 0)  # fails for a process that is no more
        return holder
    return None


def _fields(value: Any) -> dict[str, Any]:
    """Return a dataclass's own fields, which the encoder goes through in turn."""
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _held(path: Path, descriptor: int) -> LockHeld:
    who = "another process"
    with suppress(ValueError, TypeError, OSError):
        holder = Holder(**json.loads(os.pread(descriptor, 4096, 0)))
        who = f"`{holder.operation}` (process {holder.pid}, since {holder.since})"
    return LockHeld(
        f"{who} is working on this stack",
        state="this command changed nothing",
        hint=f"wait for it to end, then run this again (lock: {path})",
    )
