"""Folders beside the client tools: a dump in directory format is made in one, and a dump is sought through in one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import BinaryIO, Literal

from cn_ops.errors import OperationFailed
from cn_ops.files import CHUNK_BYTES
from cn_ops.postgres.directory import FOLDER, Packer, Sink
from cn_ops.process import ProcessFailed, Running
from cn_ops.stack import Server
from cn_ops.stack.scripts import DUMP_FOLDER, HOLD_FOLDER, folder_name

Kind = Literal["archive", "file"]


def dump_folder(server: Server, argv: Sequence[str], target: Sink, advanced: Callable[[int], None]) -> int:
    """Let pg_dump fill a folder, and write its files as a tar while they are finished; return the tar's size.

    Raises ``ProcessFailed`` when pg_dump fails.
    """
    arguments = [server.folders, folder_name(), *argv]
    packer = Packer(target, advanced)
    reading, writing = os.pipe()
    with (
        os.fdopen(reading, "rb") as source,
        os.fdopen(writing, "wb") as sink,
        server.script_started(DUMP_FOLDER, arguments, stdout=sink) as running,
    ):
        sink.close()  # the script has its own: ours would keep the pipe from ending
        try:
            while batch := _batch(source):
                for name, size in batch:
                    packer.add(name, size, source)
            whole = True
        except EOFError:
            whole = False
        _wait(running, argv)
    if not whole:
        raise OperationFailed("what pg_dump wrote did not come out of its folder in full")
    return packer.end()


@contextmanager
def placed(
    server: Server, source: BinaryIO, size: int, kind: Kind, seen: Callable[[bytes], None] = lambda _: None
) -> Iterator[str]:
    """Put a dump into a folder beside the tools for the block; give its path as they see it.

    ``seen`` gets every byte. Raises ``ProcessFailed`` when it cannot be put there.
    """
    arguments = [server.folders, folder_name(), str(size), kind]
    tail, feeding = os.pipe()
    answering, said = os.pipe()
    with ExitStack() as streams:
        stdin = streams.enter_context(os.fdopen(tail, "rb"))
        sink = streams.enter_context(os.fdopen(feeding, "wb", buffering=0))
        answer = streams.enter_context(os.fdopen(answering, "rb"))
        stdout = streams.enter_context(os.fdopen(said, "wb"))
        running = streams.enter_context(server.script_started(HOLD_FOLDER, arguments, stdin=stdin, stdout=stdout))
        stdin.close()
        stdout.close()
        feed(source, sink, seen)
        path = answer.readline().decode().rstrip("\n")
        if not path:
            sink.close()
            running.wait()
            raise OperationFailed("the dump could not be put beside the client tools")
        yield path
        sink.close()
        running.wait()


def feed(source: BinaryIO, sink: BinaryIO, seen: Callable[[bytes], None]) -> None:
    """Write all of a file into a pipe; a reader that has gone away says why in its exit code."""
    listening = True
    while chunk := source.read(CHUNK_BYTES):
        seen(chunk)
        if listening:
            listening = _write(sink, chunk)


def _write(sink: BinaryIO, chunk: bytes) -> bool:
    rest = memoryview(chunk)
    with suppress(BrokenPipeError):
        while rest:
            rest = rest[sink.write(rest) :]
        return True
    return False


def _batch(source: BinaryIO) -> list[tuple[str, int]]:
    """Read which files come next, and their sizes; none at the end. Raises ``EOFError`` when there is no end."""
    files: list[tuple[str, int]] = []
    while line := source.readline():
        words = line.decode().split()
        if not words:
            return files
        size, name = words
        if name.startswith(f"{FOLDER}/"):  # the other line is their total
            files.append((name, int(size)))
    raise EOFError


def _wait(running: Running, argv: Sequence[str]) -> None:
    """Wait for a script; its failure is that of the tool in it."""
    try:
        running.wait()
    except ProcessFailed as error:
        raise ProcessFailed(replace(error.completed, argv=tuple(argv))) from error
