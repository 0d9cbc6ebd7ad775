"""The one gateway for processes, and the only user of ``sh``.

Every child runs in a process group of its own and never on a terminal: a TTY corrupts binary streams, and a
terminal's Ctrl-C would hit the child before we could end it in order. Output goes straight into files or
pipes by descriptor, so a dump never passes through this process unless a caller reads the pipe.
"""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import sh

from cn_ops import process_group
from cn_ops.errors import MissingError, OperationFailed, TimedOut
from cn_ops.masking import mask

LOG = logging.getLogger("cn_ops.process")
# sh logs every command line itself, unmasked.
logging.getLogger("sh").setLevel(logging.WARNING)

EVIDENCE_LINES = 12
# Of what was said at the beginning, and at the end: pg_dump names thousands of tables in one line.
EVIDENCE_BYTES = 16_384
EVIDENCE_LINE = 500
# How long a child may take to obey, before the next, harder signal.
INTERRUPT_GRACE = 5.0
TERMINATE_GRACE = 5.0


@dataclass(frozen=True)
class Completed:
    """A finished process; ``stdout`` is empty where it was sent elsewhere."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def evidence(self) -> str:
        """The last lines of stderr, or of stdout when that is all there is."""
        lines = mask(self.stderr.strip() or self.stdout.strip()).splitlines()
        return "\n".join(_shortened(line) for line in lines[-EVIDENCE_LINES:])


class ProcessFailed(OperationFailed):
    """A process ended with an exit code other than 0."""

    def __init__(self, completed: Completed) -> None:
        super().__init__(
            f"`{shown(completed.argv)}` ended with exit code {completed.exit_code}",
            evidence=completed.evidence,
        )
        self.completed = completed


def shown(argv: Sequence[str]) -> str:
    """Return a command line for people: quoted, with secrets masked."""
    return mask(shlex.join(argv))


def find(program: str) -> Path | None:
    """Return where a program is on PATH, or None."""
    found = shutil.which(program)
    return Path(found) if found else None


class Running:
    """A started process: wait for it, or end it and its group."""

    def __init__(self, argv: Sequence[str], command: Any, output: BinaryIO | None, errors: BinaryIO) -> None:
        self.argv = tuple(argv)
        self.pid: int = command.pid
        self._command = command
        self._output = output
        self._errors = errors
        self._started = time.monotonic()

    def alive(self) -> bool:
        """Whether it still runs."""
        return bool(self._command.is_alive())

    def wait(self, timeout: float | None = None, *, check: bool = True) -> Completed:
        """Wait until it ends, at most ``timeout`` seconds.

        Raises ``ProcessFailed`` for an exit code other than 0 (unless ``check`` is off) and ``TimedOut``.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.alive():
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                self.end()
                raise TimedOut(f"`{shown(self.argv)}` did not end within {timeout:g} s", evidence=self._stderr())
            # Its end is noticed late by a few percent of what it took, and at most so much.
            time.sleep(min(max((now - self._started) / 32, 0.001), 0.02))
        return self._completed(check=check)

    def end(self) -> None:
        """End the whole group: interrupt, then terminate, then kill; at once when interrupted meanwhile."""
        try:
            for number, grace in (
                (signal.SIGINT, INTERRUPT_GRACE),
                (signal.SIGTERM, TERMINATE_GRACE),
                (signal.SIGKILL, TERMINATE_GRACE),
            ):
                if not self._group_lives():
                    return
                process_group.send(self.pid, number)
                deadline = time.monotonic() + grace
                while self._group_lives() and time.monotonic() < deadline:
                    time.sleep(0.01)
        except BaseException:
            process_group.send(self.pid, signal.SIGKILL)
            raise

    def _group_lives(self) -> bool:
        return self.alive() or process_group.lives(self.pid)

    def _completed(self, *, check: bool) -> Completed:
        with suppress(sh.ErrorReturnCode):
            self._command.wait()
        completed = Completed(
            argv=self.argv,
            exit_code=int(self._command.process.exit_code),
            stdout=_text(self._output),
            stderr=self._stderr(),
            seconds=time.monotonic() - self._started,
        )
        LOG.debug("exit %d after %.3f s: %s", completed.exit_code, completed.seconds, self.argv[0])
        if completed.exit_code != 0:
            LOG.info("exit %d: %s\n%s", completed.exit_code, shown(self.argv), completed.evidence)
            if check:
                raise ProcessFailed(completed)
        elif completed.stderr.strip():
            LOG.debug("stderr: %s", completed.evidence)
        return completed

    def _stderr(self) -> str:
        return _text(self._errors, most=EVIDENCE_BYTES)


@contextmanager
def started(
    argv: Sequence[str],
    *,
    stdin: BinaryIO | None = None,
    stdout: BinaryIO | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: str | None = None,
) -> Iterator[Running]:
    """Start a process and end it, at the latest, when the block is left.

    ``stdin`` and ``stdout`` are open binary files or pipes, used by descriptor. ``user`` (root only) is the
    account that it runs as. The process also ends when this one is killed (on Linux), and with the thread
    that started it. Raises ``MissingError`` when the program is not there.
    """
    with ExitStack() as streams:
        output = streams.enter_context(tempfile.TemporaryFile()) if stdout is None else None
        errors = streams.enter_context(tempfile.TemporaryFile())
        with process_group.signals_held(), Path(os.devnull).open("rb") as nothing:
            command = _launch(
                argv,
                env=env,
                cwd=cwd,
                user=user,
                _in=stdin if stdin is not None else nothing,
                _out=stdout if output is None else output,
                _err=errors,
                _new_group=True,
                _preexec_fn=process_group.die_with_parent(),
            )
            running = Running(argv, command, output, errors)
            streams.callback(running.end)
        yield running


def run(
    argv: Sequence[str],
    *,
    stdin: BinaryIO | None = None,
    stdout: BinaryIO | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: str | None = None,
    timeout: float | None = None,
    check: bool = True,
) -> Completed:
    """Run a process to its end and return what it said.

    Raises ``ProcessFailed``, ``TimedOut`` after ``timeout`` seconds, or ``MissingError``; see ``started`` for
    the other arguments.
    """
    with started(argv, stdin=stdin, stdout=stdout, env=env, cwd=cwd, user=user) as running:
        return running.wait(timeout, check=check)


def spawn(argv: Sequence[str], *, log: Path, env: Mapping[str, str], cwd: Path | None = None) -> int:
    """Start a process that outlives this one, its output appended to ``log``; return its process id."""
    with process_group.signals_held(), log.open("ab") as output, Path(os.devnull).open("rb") as nothing:
        command = _launch(argv, env=env, cwd=cwd, user=None, _in=nothing, _out=output, _err=output, _new_session=True)
    return int(command.pid)


def _launch(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None,
    cwd: Path | None,
    user: str | None,
    **streams: Any,
) -> Any:
    LOG.info("run: %s", shown(argv))
    try:
        # sh's overloads tell apart literal flags only, not a mapping of them
        program: Any = sh.Command(argv[0])
        return program(
            *argv[1:],
            **streams,
            _bg=True,
            _bg_exc=False,
            _tty_out=False,
            _no_out=True,
            _no_err=True,
            _env=dict(os.environ if env is None else env),
            **({"_cwd": str(cwd)} if cwd else {}),
            **({"_uid": _uid(user)} if user else {}),
        )
    except sh.CommandNotFound:
        raise MissingError(
            f"the program `{argv[0]}` was not found", hint="install it, or put its folder on PATH"
        ) from None
    except sh.ForkException as error:
        raise OperationFailed(f"`{shown(argv)}` could not be started", evidence=str(error)) from None


def _uid(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_uid


def _text(stream: BinaryIO | None, *, most: int | None = None) -> str:
    """Return what is in a stream, or so many bytes of its beginning and of its end.

    Of bytes that are no UTF-8, such as pg_dump's of a database in LATIN1, one is told from another.
    """
    if stream is None:
        return ""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if most is None or size <= 2 * most:
        return stream.read().decode(errors="backslashreplace")
    head = stream.read(most)
    stream.seek(-most, os.SEEK_END)
    return f"{head.decode(errors='backslashreplace')} … {stream.read().decode(errors='backslashreplace')}"


def _shortened(line: str) -> str:
    return line if len(line) <= EVIDENCE_LINE else f"{line[:EVIDENCE_LINE]} …"
