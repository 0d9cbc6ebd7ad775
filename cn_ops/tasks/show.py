"""Where results, progress and JSON go: results to stdout, everything else to stderr."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console, RenderableType

from cn_ops.report.terminal import output

# A pipe has no width: what is searched and compared must not be folded.
PIPE_WIDTH = 10_000


class Onlooker(Console):
    """A console whose reader may leave, as `2>&1 | head` does: what is being done goes on."""

    def on_broken_pipe(self) -> None:
        """Say nothing more."""
        self.quiet = True
        silence(sys.stderr)


def silence(stream: TextIO) -> None:
    """Let nothing more reach a stream whose reader has gone, the interpreter's own flush included."""
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), stream.fileno())


def stdout_console() -> Console:
    """Return the console of results."""
    _never_fail(sys.stdout)
    return Console(file=sys.stdout, highlight=False, soft_wrap=False, width=_width(sys.stdout))


def stderr_console() -> Console:
    """Return the console of progress and errors."""
    _never_fail(sys.stderr)
    return Onlooker(file=sys.stderr, highlight=False, width=_width(sys.stderr))


def show(*parts: RenderableType) -> None:
    """Print results for people."""
    output(stdout_console(), *parts)


def print_json(document: Any) -> None:
    """Print one JSON document."""
    _never_fail(sys.stdout)
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")


def write(text: str) -> None:
    """Print text as it is."""
    _never_fail(sys.stdout)
    sys.stdout.write(text if not text or text.endswith("\n") else text + "\n")


def _width(stream: Any) -> int | None:
    return None if stream.isatty() else PIPE_WIDTH


def _never_fail(stream: Any) -> None:
    """Let a terminal that cannot show a character show a stand-in, instead of ending the command."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
