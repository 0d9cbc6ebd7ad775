"""Looking at processes from outside."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil


def lives(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody waits for does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Fail unless the condition holds within some seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
