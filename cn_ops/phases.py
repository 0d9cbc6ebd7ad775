"""Timed steps of an operation, told to whoever listens as they happen."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from cn_ops.model import Phase, Status
from cn_ops.text import readable_bytes

LOG = logging.getLogger("cn_ops.phases")


class Listener(Protocol):
    """Hears of phases: the terminal, or nobody."""

    def began(self, name: str) -> None:
        """Hear that a phase has begun."""

    def advanced(self, detail: str) -> None:
        """Hear how far the phase under way has come."""

    def ended(self, phase: Phase) -> None:
        """Hear how a phase ended."""

    def warned(self, message: str) -> None:
        """Hear of something that a person should know."""


class Silent:
    """Hears nothing."""

    def began(self, name: str) -> None:
        """Ignore it."""

    def advanced(self, detail: str) -> None:
        """Ignore it."""

    def ended(self, phase: Phase) -> None:
        """Ignore it."""

    def warned(self, message: str) -> None:
        """Ignore it."""


class Step:
    """The phase under way."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.detail = ""
        self.skipped = False

    def advanced(self, detail: str) -> None:
        """Say how far it has come."""
        self._listener.advanced(detail)

    def advanced_bytes(self, count: int) -> None:
        """Say how many bytes have gone through."""
        self._listener.advanced(readable_bytes(count))

    def warned(self, message: str) -> None:
        """Say what a person should know."""
        self._listener.warned(message)

    def skip(self, why: str) -> None:
        """Say that there was nothing to do or to check, and why: that is never a pass."""
        self.skipped = True
        self.detail = why


class Within:
    """Hears the phases of an operation that is itself one phase of another."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._name = ""

    def began(self, name: str) -> None:
        """Say what is being done."""
        self._name = name
        self._step.advanced(name)

    def advanced(self, detail: str) -> None:
        """Say how far that has come."""
        self._step.advanced(f"{self._name}, {detail}")

    def ended(self, phase: Phase) -> None:
        """Ignore it: the next one says that it has begun."""

    def warned(self, message: str) -> None:
        """Hand it on."""
        self._step.warned(message)


class Phases:
    """Runs phases one after the other and remembers how each ended."""

    def __init__(self, listener: Listener, clock: Callable[[], float] = time.monotonic) -> None:
        self._listener = listener
        self._clock = clock
        self._done: list[Phase] = []
        self._warnings: list[str] = []

    @property
    def done(self) -> tuple[Phase, ...]:
        """The phases so far, in order."""
        return tuple(self._done)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know."""
        return tuple(self._warnings)

    def all_of(self, names: Sequence[str]) -> tuple[Phase, ...]:
        """Return the phases so far and, as not run, those of ``names`` that have not begun."""
        begun = {phase.name for phase in self._done}
        return self.done + tuple(Phase(name, Status.NOT_RUN) for name in names if name not in begun)

    def warn(self, message: str) -> None:
        """Tell a person something that fails nothing."""
        LOG.warning("%s", message)
        self._warnings.append(message)
        self._listener.warned(message)

    @contextmanager
    def phase(self, name: str) -> Iterator[Step]:
        """Run one phase; an exception marks it as failed and goes on."""
        LOG.info("phase %s: begins", name)
        self._listener.began(name)
        step = Step(self._listener)
        began = self._clock()
        status = Status.FAILED
        try:
            yield step
            status = Status.SKIPPED if step.skipped else Status.PASSED
        finally:
            phase = Phase(name, status, round(self._clock() - began, 3), step.detail)
            self._done.append(phase)
            LOG.info("phase %s: %s after %.3f s %s", name, status, phase.seconds, step.detail)
            self._listener.ended(phase)
