"""A fault at one external call of a command, in a process of its own.

Everything that cn-ops does to the outside goes through few gateways: starting a process and waiting for it, a
session's connect, statements, BEGIN and COMMIT, and what changes files. Each pass through one of them is a
position, counted for each thread, so that a run without a fault lists them and another run strikes at one.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import psycopg

import cn_ops.application
import cn_ops.drill_phases
import cn_ops.files
import cn_ops.postgres.dump
import cn_ops.stack.compose
import cn_ops.stack.embedded
from cn_ops import process, process_group
from cn_ops.errors import OperationFailed, TimedOut
from cn_ops.phases import Phases

FAILS = "fails"  # the call is not made, its natural error is raised
LOST = "lost"  # a session is lost before the statement reaches the server
UNANSWERED = "unanswered"  # the server carries it out, and the session is lost before it says so
KILLED_BEFORE = "killed before"
KILLED_AFTER = "killed after"
KILLS = (KILLED_BEFORE, KILLED_AFTER)
# Called again and again until a server is up.
POLL = "pg_isready"

Act = Callable[[], Any]


@dataclass(frozen=True)
class Position:
    """One pass through a gateway: `thread:number`, and what passes."""

    place: str
    gateway: str
    label: str
    kinds: tuple[str, ...]

    @property
    def thread(self) -> str:
        """The first part of its place."""
        return self.place.partition(":")[0]

    @property
    def number(self) -> int:
        """The second part of its place."""
        return int(self.place.partition(":")[2])


class Faultline:
    """Counts positions, and strikes at one of them."""

    def __init__(self, place: str | None, kind: str | None, reached: Path) -> None:
        self._thread, _, number = (place or "").partition(":")
        self._number = int(number or 0)
        self._kind = kind
        self._struck = False
        self._reached = reached
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()
        self.positions: list[Position] = []

    def passes(self, gateway: str, label: str, call: Act, **failures: Act) -> Any:
        """Make a call, or what the fault makes of it."""
        kinds = {kind.replace("_", " "): failure for kind, failure in failures.items()}
        position = self._next(gateway, label, (*kinds, *KILLS))
        if not self._strikes(position):
            return call()
        self._reached.write_text(json.dumps(asdict(position)))
        if self._kind == KILLED_BEFORE:
            _die()
        if self._kind == KILLED_AFTER:
            call()
            _die()
        return kinds[str(self._kind)]()

    def _strikes(self, position: Position) -> bool:
        """Whether this is where it strikes: there, or where the command polls and positions move, soon after."""
        there = position.thread == self._thread and position.number >= self._number
        if self._struck or not there or self._kind not in position.kinds:
            return False
        self._struck = True
        return True

    def _next(self, gateway: str, label: str, kinds: tuple[str, ...]) -> Position:
        thread = threading.current_thread()
        name = "main" if thread is threading.main_thread() else thread.name.split("_")[0]
        # Where a command polls, the number of calls changes from run to run, and that of phases does not.
        name = "phase" if gateway == "phase" else POLL if POLL in label else name
        with self._lock:
            number = self._counts[name] = self._counts.get(name, 0) + 1
            position = Position(f"{name}:{number}", gateway, " ".join(label.split())[:90], kinds)
            self.positions.append(position)
        return position

    def install(self) -> None:
        """Put every gateway of this process behind the line; for a process that ends afterwards."""
        self._install_processes()
        self._install_sessions()
        self._install_files()
        self._install_application()
        self._install_phases()

    def _install_processes(self) -> None:
        launch, wait = process._launch, process.Running.wait

        def started(argv: Any, **options: Any) -> Any:
            def fails() -> NoReturn:
                raise OperationFailed(f"`{process.shown(argv)}` could not be started", evidence="[Errno 11] fork")

            return self.passes("start", _program(argv), lambda: launch(argv, **options), fails=fails)

        def waited(running: process.Running, *arguments: Any, **options: Any) -> Any:
            def fails() -> Any:
                process_group.send(running.pid, signal.SIGKILL)
                return wait(running, *arguments, **options)

            label = _program(running.argv)
            return self.passes("wait", label, lambda: wait(running, *arguments, **options), fails=fails)

        process._launch = started
        process.Running.wait = waited  # type: ignore[method-assign, assignment]

    def _install_sessions(self) -> None:
        connect, execute = psycopg.connect, psycopg.Connection.execute

        def connected(*arguments: Any, **options: Any) -> Any:
            def fails() -> NoReturn:
                raise psycopg.OperationalError("connection failed: Connection refused")

            return self.passes("connect", "", lambda: connect(*arguments, **options), fails=fails)

        def executed(connection: Any, query: Any, *arguments: Any, **options: Any) -> Any:
            if not _is_ours():
                return execute(connection, query, *arguments, **options)

            def call() -> Any:
                return execute(connection, query, *arguments, **options)

            def fails() -> NoReturn:
                raise psycopg.errors.DiskFull("could not extend file: No space left on device")

            failures = {"fails": fails, **_losses(connection, call)}
            return self.passes("statement", _text(connection, query), call, **failures)

        psycopg.connect = connected
        psycopg.Connection.execute = executed  # type: ignore[method-assign, assignment]
        for name, label in (("__enter__", "BEGIN"), ("__exit__", "COMMIT")):
            self._install_transaction(name, label)

    def _install_transaction(self, name: str, label: str) -> None:
        original = getattr(psycopg.Transaction, name)

        def passed(transaction: Any, *arguments: Any) -> Any:
            def call() -> Any:
                return original(transaction, *arguments)

            return self.passes("transaction", label, call, **_losses(transaction.connection, call))

        setattr(psycopg.Transaction, name, passed)

    def _install_files(self) -> None:
        full, broken = errno.ENOSPC, errno.EIO
        for owner, name, number in (
            (os, "fsync", broken),
            (os, "open", broken),
            (os, "chown", broken),
            (os, "ftruncate", broken),
            (Path, "rename", broken),
            (Path, "replace", broken),
            (Path, "unlink", broken),
            (Path, "mkdir", full),
            (Path, "touch", full),
            (shutil, "rmtree", broken),
            (shutil, "copytree", full),
            (tempfile, "NamedTemporaryFile", full),
            (cn_ops.files, "copy_hashed", full),
            (cn_ops.postgres.dump, "copy_hashed", full),
        ):
            self._install_effect(owner, name, number)

    def _install_effect(self, owner: Any, name: str, number: int) -> None:
        original = getattr(owner, name)

        def effect(*arguments: Any, **options: Any) -> Any:
            def fails() -> NoReturn:
                raise OSError(number, os.strerror(number))

            def call() -> Any:
                return original(*arguments, **options)

            if not _is_ours():
                return call()
            subject = str(arguments[0].name if isinstance(arguments[0], Path) else "") if arguments else ""
            return self.passes("file", f"{name} {subject}", call, fails=fails)

        setattr(owner, name, effect)

    def _install_application(self) -> None:
        for module in (cn_ops.stack.embedded, cn_ops.stack.compose, cn_ops.drill_phases):
            original = module.wait_healthy

            def healthy(url: str, *arguments: Any, original: Any = original, **options: Any) -> Any:
                def fails() -> NoReturn:
                    raise TimedOut(f"{url} was not healthy")

                return self.passes("http", "healthy", lambda: original(url, *arguments, **options), fails=fails)

            module.wait_healthy = healthy  # type: ignore[attr-defined]

    def _install_phases(self) -> None:
        original = Phases.phase
        line = self

        @contextlib.contextmanager
        def phase(phases: Phases, name: str) -> Any:
            line.passes("phase", name, lambda: None)
            with original(phases, name) as step:
                yield step

        Phases.phase = phase  # type: ignore[method-assign, assignment]


def _losses(connection: Any, call: Act) -> dict[str, Act]:
    def lost() -> NoReturn:
        connection.close()
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    def unanswered() -> NoReturn:
        call()
        lost()

    return {"lost": lost, "unanswered": unanswered}


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("it lives on")


def _program(argv: Any) -> str:
    if POLL in argv:
        return POLL
    flags = [part.split("=")[0] for part in argv[1:3] if part.startswith("--")]
    return " ".join([Path(argv[0]).name, *flags])


def _text(connection: Any, query: Any) -> str:
    if isinstance(query, bytes):
        return query.decode()
    return query if isinstance(query, str) else str(query.as_string(connection))


def _is_ours() -> bool:
    """Whether the caller of the gateway is cn-ops itself, and not a library or the test."""
    return str(sys._getframe(2).f_globals.get("__name__", "")).startswith("cn_ops.")
