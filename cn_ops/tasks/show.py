"""Where results, progress and JSON go: results to stdout, everything else to stderr."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TextIO, cast

from rich.console import Console, RenderableType

from cn_ops.errors import OperationFailed
from cn_ops.report.terminal import output

# A pipe has no width: what is searched and compared must not be folded.
PIPE_WIDTH = 10_000


class Onlooker:
    """Standard error, as a console writes to it; its reader may leave, and its disk may be full.

    What is being done goes on: nothing more is said then.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or say nothing more."""
        with self._undisturbed():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or say nothing more."""
        with self._undisturbed():
            self._stream.flush()

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            silence(self._stream)


def silence(stream: TextIO) -> None:
    """Let nothing more reach a stream that cannot be written to, the interpreter's own flush included."""
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), stream.fileno())


def stdout_console() -> Console:
    """Return the console of results."""
    return _console(_stream(sys.stdout))


def stderr_console() -> Console:
    """Return the console of progress and errors."""
    return _console(cast(TextIO, Onlooker(_stream(sys.stderr))))


def _console(stream: TextIO) -> Console:
    # What it prints are names and paths: `[prod]` is no markup, and `:warning:` no emoji.
    width = None if stream.isatty() else PIPE_WIDTH
    return Console(file=stream, highlight=False, markup=False, emoji=False, width=width)


def show(*parts: RenderableType) -> None:
    """Print results for people."""
    with _result():
        output(stdout_console(), *parts)


def print_json(document: Any) -> None:
    """Print one JSON document."""
    write(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def write(text: str) -> None:
    """Print text as it is."""
    with _result() as stream:
        stream.write(text if not text or text.endswith("\n") else text + "\n")


@contextmanager
def _result() -> Iterator[TextIO]:
    """Give standard output for a result; raises ``OperationFailed`` when it cannot be written, as to a full disk."""
    stream = _stream(sys.stdout)
    try:
        yield stream
        stream.flush()
    except BrokenPipeError:
        silence(stream)
        raise
    except OSError as error:
        silence(stream)
        raise OperationFailed(
            f"the result cannot be written to standard output: {error.strerror}",
            state="the command itself came to its end",
            hint="`inv backups` and `inv stack.status` show what there is now",
        ) from error


def _stream(stream: TextIO | None) -> TextIO:
    """Return a stream that shows a stand-in for a character that a terminal cannot; for a closed one, nowhere."""
    if stream is None:
        return _nowhere()
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream


@cache
def _nowhere() -> TextIO:
    return Path(os.devnull).open("w")
