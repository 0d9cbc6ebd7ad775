"""Signals that arrive at the one moment in which Python would forget them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from cn_ops import process

ARMED: list[signal.Signals] = []


def _raise_what_is_armed() -> None:
    while ARMED:
        signal.raise_signal(ARMED.pop())


# It cannot be taken back, and does nothing unless it is armed.
os.register_at_fork(after_in_parent=_raise_what_is_armed)


@contextmanager
def _interrupting(number: signal.Signals) -> Iterator[None]:
    """Handle a signal as a task does, and let it come while the next child is forked."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(number, interrupt)
    ARMED.append(number)
    try:
        yield
    finally:
        ARMED.clear()
        signal.signal(number, before)


def _children() -> list[int]:
    return [one.pid for one in psutil.Process().children() if one.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_that_comes_while_a_child_is_forked_is_obeyed_and_the_child_ended(number: signal.Signals) -> None:
    before = _children()
    with _interrupting(number), pytest.raises(KeyboardInterrupt), process.started(["sleep", "60"]):
        pytest.fail("the signal was forgotten")
    assert _children() == before


def test_signal_that_comes_while_a_lasting_process_is_forked_is_obeyed(tmp_path: Path) -> None:
    with _interrupting(signal.SIGTERM), pytest.raises(KeyboardInterrupt):
        process.spawn(["true"], log=tmp_path / "log", env=dict(os.environ))


def test_handlers_are_what_they_were_after_a_child_was_started() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    process.run(["true"])
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
