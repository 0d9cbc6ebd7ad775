"""Dumps, taken by the server's own tools and streamed out as they are made."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Literal

from cn_ops.errors import OperationFailed
from cn_ops.files import Hashed, copy_hashed
from cn_ops.jobs import default_jobs
from cn_ops.postgres.folders import dump_folder
from cn_ops.postgres.locks import SECOND_SECONDS, dumping
from cn_ops.postgres.session import dbname, server_settings
from cn_ops.postgres.snapshot import Snapshot
from cn_ops.settings import BackupSettings
from cn_ops.stack import Server

Advanced = Callable[[int], None]
DumpFormat = Literal["custom", "directory"]

# By measurement: docs/performance.md.
FASTEST = "zstd:1"
FASTEST_GZIP = "2"
# How pg_dumpall ends.
GLOBALS_END = b"--\n-- PostgreSQL database cluster dump complete\n--"
NOWHERE = "/nonexistent/cn-ops"


@dataclass(frozen=True)
class Preset:
    """What the settings do not say; ``compress`` is null for the fastest that the server's pg_dump has."""

    format: DumpFormat
    compress: str | None


PRESETS: dict[str, Preset] = {
    "compatible": Preset("custom", "9"),
    "fast": Preset("custom", None),
    "parallel": Preset("directory", None),
}


@dataclass(frozen=True)
class Globals:
    """Where roles and tablespaces go; only a superuser can read the roles' ``passwords``, as hashes."""

    target: BinaryIO
    passwords: bool


@dataclass(frozen=True)
class DumpPlan:
    """How a dump is made; ``jobs`` is how many sessions dump at the same time, in directory format."""

    format: DumpFormat
    compress: str
    jobs: int

    @property
    def readers(self) -> int:
        """Return how many sessions take the fingerprint meanwhile.

        By measurement: half as many. A dump keeps more than one core busy for each of its sessions, and what takes
        those from it makes all of it slower.
        """
        return max(1, self.jobs // 2)

    @property
    def flags(self) -> tuple[str, ...]:
        """Return pg_dump's flags.

        Owners and privileges stay in the archive, whatever a restore may leave out of it.
        """
        parallel = (f"--jobs={self.jobs}",) if self.format == "directory" else ()
        return (f"--format={self.format}", f"--compress={self.compress}", *parallel)


def plan_dump(server: Server, settings: BackupSettings) -> DumpPlan:
    """Say how to dump: what the settings name, and for the rest what their preset means with this server's tools."""
    preset = PRESETS[settings.preset]
    compress = settings.compress or preset.compress or _fast_compression(server)
    return DumpPlan(settings.format or preset.format, compress, settings.jobs or default_jobs())


def dump_database(
    server: Server, database: str, plan: DumpPlan, view: Snapshot, target: BinaryIO, advanced: Advanced
) -> tuple[str, int]:
    """Dump what a snapshot sees; return the dump's SHA-256, in hex, and its size in bytes.

    Sessions of the snapshot hold tables: pg_dump need not wait for them, or else waits for somebody who waits for one
    of those. Raises ``TablesInUse`` for that, ``ProcessFailed`` when pg_dump fails otherwise, ``OSError`` when
    the target cannot be written.
    """
    argv = ["pg_dump", *plan.flags, *view.dump_flags, f"--lock-wait-timeout={SECOND_SECONDS * 1000}"]
    argv.append(f"--dbname={dbname(database, server_settings(server, database))}")
    with dumping():
        if plan.format == "custom":
            return _streamed(server, argv, target, advanced)
        hashed = Hashed(target)
        # What is made durable is the file that comes out, not the folder.
        size = dump_folder(server, [*argv, "--no-sync"], hashed, advanced)
    return hashed.sha256, size


@contextmanager
def globals_dumped(server: Server, wanted: Globals | None) -> Iterator[Callable[[], str | None]]:
    """Start to dump roles and tablespaces; give what waits for the end and returns the file's SHA-256, in hex.

    Where none are wanted that is null.
    """
    if wanted is None:
        yield lambda: None
        return
    without = () if wanted.passwords else ("--no-role-passwords",)
    argv = ["pg_dumpall", "--globals-only", *without, "--no-password"]
    # Into the file itself: nobody reads a pipe while the database is dumped.
    with server.tool_started(argv, stdout=emptied(wanted.target)) as running:

        def finished() -> str:
            try:
                running.wait()
                return _whole_globals(wanted.target)
            except OperationFailed as error:
                raise error.with_hint("`backup.globals: false` leaves the roles out") from error

        yield finished


def _whole_globals(target: BinaryIO) -> str:
    target.seek(0)
    text = target.read()
    if not text.rstrip().endswith(GLOBALS_END):
        raise OperationFailed("what pg_dumpall wrote did not arrive in full")
    return hashlib.sha256(text).hexdigest()


def emptied(target: BinaryIO) -> BinaryIO:
    """Return a file as it was when nothing had been written to it."""
    target.seek(0)
    target.truncate()
    return target


def tool_version(server: Server) -> str:
    """Return the version of the pg_dump beside the server."""
    return server.tool(["pg_dump", "--version"]).stdout.split()[2]


def _fast_compression(server: Server) -> str:
    """Return zstd where that server's pg_dump was built with it, else the best of what every build has."""
    argv = ["pg_dump", "--format=custom", f"--compress={FASTEST}", "--file=/dev/null", "--no-password"]
    # It looks at its options before it looks for the server: a folder that is not there answers at once.
    with server.tool_started([*argv, f"--dbname=host={NOWHERE}"]) as running:
        said = running.wait(check=False).stderr
    return FASTEST if NOWHERE in said else FASTEST_GZIP


def _streamed(server: Server, argv: Sequence[str], target: BinaryIO, advanced: Advanced) -> tuple[str, int]:
    reading, writing = os.pipe()
    with (
        os.fdopen(reading, "rb", buffering=0) as source,
        os.fdopen(writing, "wb") as sink,
        server.tool_started(argv, stdout=sink) as running,
    ):
        sink.close()  # the tool has its own: ours would keep the pipe from ending
        result = copy_hashed(source, target, advanced)
        running.wait()
    return result
