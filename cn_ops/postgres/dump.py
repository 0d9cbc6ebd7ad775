"""Dumps, taken by the server's own tools and streamed out as they are made."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import BinaryIO

from cn_ops.files import copy_hashed
from cn_ops.postgres.session import dbname
from cn_ops.settings import BackupSettings
from cn_ops.stack import Server

Advanced = Callable[[int], None]


def dump_flags(settings: BackupSettings) -> tuple[str, ...]:
    """Return pg_dump's flags; format and compression are settings.

    Owners and privileges stay in the archive, whatever a restore may leave out of it.
    """
    return (f"--format={settings.format}", f"--compress={settings.compress}")


def dump_database(
    server: Server, database: str, flags: Sequence[str], snapshot: str, target: BinaryIO, advanced: Advanced
) -> tuple[str, int]:
    """Dump what a snapshot sees; return the dump's SHA-256, in hex, and its size in bytes.

    Raises ``ProcessFailed`` when pg_dump fails, ``OSError`` when the target cannot be written.
    """
    argv = ["pg_dump", *flags, f"--snapshot={snapshot}", "--no-password", f"--dbname={dbname(database)}"]
    return _streamed(server, argv, target, advanced)


def dump_globals(server: Server, target: BinaryIO, *, passwords: bool = True) -> tuple[str, int]:
    """Dump roles and tablespaces; return SHA-256 and size. Only a superuser can read the roles' password hashes."""
    without = () if passwords else ("--no-role-passwords",)
    return _streamed(server, ["pg_dumpall", "--globals-only", *without, "--no-password"], target, lambda _: None)


def tool_version(server: Server) -> str:
    """Return the version of the pg_dump beside the server."""
    return server.tool(["pg_dump", "--version"]).stdout.split()[2]


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
