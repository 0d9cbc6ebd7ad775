"""One operation on one stack: what every command that changes something holds and knows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cn_ops.errors import MissingError
from cn_ops.files import lock, private_folder
from cn_ops.journal import JOURNAL_SUFFIX, Intent, Journal
from cn_ops.phases import Phases
from cn_ops.settings import Settings
from cn_ops.stack import Choice, Stack


@dataclass(frozen=True)
class Operation:
    """A stack under the lock, its settings, its journal and the phases of what is being done."""

    name: str
    settings: Settings
    stack: Stack
    disposable: bool
    journal: Journal
    phases: Phases

    @property
    def database(self) -> str:
        """The live database."""
        return self.settings.stack.postgres.database

    @property
    def server(self) -> str:
        """The service that is the server."""
        return self.settings.stack.postgres.service

    def intend(self, **changes: Any) -> Intent:
        """Put on record what is about to be done, or no longer is."""
        return self.journal.update(self.name, **changes)

    def start_server(self) -> None:
        """Start the server unless it runs, and say so."""
        if self.server not in self.stack.running():
            self.phases.warn(f"the server {self.server} did not run: it is started")
            self.stack.start_postgres()

    def require_server(self) -> None:
        """Raise ``MissingError`` unless the server runs."""
        if self.server not in self.stack.running():
            raise MissingError(
                f"the server {self.server} does not run", state="nothing was changed", hint="start it: `inv stack.up`"
            )


@contextmanager
def operation(name: str, settings: Settings, choice: Choice, phases: Phases) -> Iterator[Operation]:
    """Hold the stack's lock for the block; raises ``LockHeld`` naming who has it."""
    private_folder(settings.state)
    with lock(lock_path(settings, choice.stack), name):
        journal = Journal(journal_path(settings, choice.stack))
        yield Operation(name, settings, choice.stack, choice.disposable, journal, phases)


def verify_lock_path(settings: Settings, stack: Stack) -> Path:
    """Return the lock of a stack's verifications: a long one must not keep the nightly backup from running."""
    return settings.state / f"{stack.name}.verify.lock"


def lock_path(settings: Settings, stack: Stack) -> Path:
    """Return the lock of a stack."""
    return settings.state / f"{stack.name}.lock"


def journal_path(settings: Settings, stack: Stack) -> Path:
    """Return the journal of a stack."""
    return settings.state / f"{stack.name}{JOURNAL_SUFFIX}"
