"""What every task needs before it can begin: settings, a stack, the lock."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cn_ops.errors import RUN_AGAIN, UNCHANGED, SettingsError, UsageError, saying
from cn_ops.operation import Operation, operation
from cn_ops.phases import Phases
from cn_ops.report.progress import Progress
from cn_ops.settings.load import NO_OPTIONS, Loaded, load
from cn_ops.stack import Choice, choose
from cn_ops.stack.server_settings import with_server
from cn_ops.tasks.show import stderr_console

# Options by the path of the setting that they go over: the option as typed, and its value.
Options = Mapping[str, tuple[str, object]]


@dataclass(frozen=True)
class Prepared:
    """Settings, and how a person hears of what happens."""

    loaded: Loaded
    progress: Progress

    def choose(self) -> Choice:
        """Choose the stack, and say which and why."""
        choice = choose(self.loaded.settings)
        self.progress.said(f"stack: {choice.reason}")
        return choice

    @contextmanager
    def operation(self, name: str) -> Iterator[Operation]:
        """Hold the chosen stack's lock for the block."""
        with operation(name, self.loaded.settings, self.choose(), Phases(self.progress)) as held:
            yield held


def _loaded(stack: str, over: Options) -> Loaded:
    """Load the settings; where they name that stack themselves, what they say of it counts."""
    cwd = Path.cwd()
    if stack:
        with suppress(SettingsError):  # the option may be what mends them
            found = load(cwd, os.environ, over)
            if found.settings.stack.kind == stack:
                return found
        over = {"stack.kind": ("--stack", stack), **over}
    return load(cwd, os.environ, over)


@contextmanager
def prepared(stack: str = "", over: Options = NO_OPTIONS) -> Iterator[Prepared]:
    """Load the settings; `--stack` and other options, by the path of their setting, go over them."""
    loaded = with_server(_loaded(stack, over), os.environ)
    with Progress(stderr_console()) as progress:
        for warning in loaded.warnings:
            progress.warned(warning)
        yield Prepared(loaded, progress)


@contextmanager
def locked(name: str, stack: str, *, check: bool = True, over: Options = NO_OPTIONS) -> Iterator[Operation]:
    """Load the settings, choose the stack, hold its lock and check what it needs.

    Whose project it is has to be known before anything of it is stopped, dumped or removed; and a writer whose
    name is misspelled would go on writing while the database is replaced.
    """
    with prepared(stack, over) as ready, ready.operation(name) as held:
        if check:
            held.stack.preflight()
        yield held


def whole_number(option: str, text: str | None, least: int, unit: str = "") -> int | None:
    """Read an option that is a whole number, of ``unit`` if that needs saying; raises ``UsageError`` naming it."""
    if text is None:
        return None
    number = int(text) if re.fullmatch(r"-?[0-9]{1,9}", text) else None
    if number is None or number < least:
        raise UsageError(
            f"{option} must be a whole number{f' of {unit}' if unit else ''}, at least {least}, got {text!r}",
            state="nothing was changed",
            hint=f"for example {option}={least}",
        )
    return number


def confirmed(operation: Operation, what: str, *, yes: bool) -> None:
    """Make a person type the database's name before a stack that is not disposable loses data.

    Raises ``UsageError`` when the name is not typed, or there is nobody to type it.
    """
    import sys

    if operation.disposable or yes:
        return
    name = operation.database
    hint = f"type the database's name ({name}), or run it again with --yes"
    if not (sys.stdin and sys.stderr and sys.stdin.isatty()):
        raise UsageError(f"{what}: that needs a confirmation", state="nothing was changed", hint=hint)
    sys.stderr.write(f"{what}.\nType the database's name to go on: ")
    sys.stderr.flush()
    with saying(UNCHANGED, RUN_AGAIN):
        typed = sys.stdin.readline().strip()
    if typed != name:
        raise UsageError(f"{what}: that was not confirmed", state="nothing was changed", hint=hint)
