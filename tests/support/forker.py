"""Runs `inv` in forks of one process that has imported everything: a command then starts in milliseconds.

As `python -m tests.support.forker` it reads one request a line and answers each with a line; see ``Forker``.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cn_ops
from tests.support.faultline import Faultline, Position
from tests.support.leftovers import CHECKOUT

COMMAND_SECONDS = 120


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, negative for a signal, what it said, and which position was struck."""

    code: int
    text: str
    struck: str | None
    positions: tuple[Position, ...]


class Forker:
    """The process that forks, seen from the tests."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forker"],
            cwd=CHECKOUT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, folder: Path, argv: Sequence[str], place: str | None = None, kind: str | None = None) -> Ended:
        """Run `inv` in a folder, with a fault at one position or without any."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        for name in ("out", "reached", "positions"):
            (folder / f".{name}").unlink(missing_ok=True)
        request = {"folder": str(folder), "argv": list(argv), "place": place, "kind": kind}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return Ended(
            code,
            (folder / ".out").read_text(),
            json.loads(reached)["label"] if (reached := _text(folder / ".reached")) else None,
            tuple(Position(**one) for one in json.loads(_text(folder / ".positions") or "[]")),
        )

    def close(self) -> None:
        """End it."""
        self._process.communicate("")


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _serve() -> None:
    for found in pkgutil.walk_packages(cn_ops.__path__, "cn_ops."):
        if not found.name.startswith("cn_ops.devnode"):
            importlib.import_module(found.name)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _child(json.loads(line))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _child(request: dict[str, Any]) -> None:
    from invoke.main import program

    folder = Path(request["folder"])
    os.chdir(folder)
    output = os.open(".out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    line = Faultline(request["place"], request["kind"], folder / ".reached")
    line.install()
    code = 70
    try:
        program.run(["inv", *request["argv"]])
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        (folder / ".positions").write_text(json.dumps([vars(one) for one in line.positions]))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
