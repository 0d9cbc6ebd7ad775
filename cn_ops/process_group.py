"""Groups of processes: whether one lives, signals to all of it, and children that do not outlive their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def send(group: int, number: signal.Signals) -> None:
    """Send a signal to every member that may be signalled."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def lives(group: int) -> bool:
    """Whether a group has a member that runs."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    # Zombies that nobody waits for are in the group as well.
    return any(_is_member(found, group) for found in psutil.process_iter())


@contextmanager
def signals_held() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back while a child is started, and deliver them when the block is left.

    A fork calls back into Python, which prints and then forgets what a signal's handler raises there: the
    command would go on as if nobody had asked it to stop.
    """
    if threading.current_thread() is not threading.main_thread():  # no other thread runs handlers
        yield
        return
    came: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    ours = {number: handler for number, handler in handlers.items() if callable(handler)}
    try:
        for number in ours:
            signal.signal(number, lambda which, _: came.append(which))
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
        for which in came[:1]:
            signal.raise_signal(which)


def die_with_parent() -> Callable[[], None] | None:
    """Return what a child calls, before it becomes its program, to be killed when its parent is.

    The kernel takes the thread that started the child for its parent. None where the system cannot do that.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def ask() -> None:
        # A change of the user clears the request: this has to come after it.
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it was killed before we could ask
            os.kill(os.getpid(), signal.SIGKILL)

    return ask


def _is_member(found: psutil.Process, group: int) -> bool:
    with suppress(psutil.Error, OSError):
        return os.getpgid(found.pid) == group and found.status() != psutil.STATUS_ZOMBIE
    return False
