"""No process is started in a unit test."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

# What Python tells its audit hooks before a process starts, whichever library starts it: sh forks by itself.
STARTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.exec", "os.system"}

_forbidden = False
_seen: list[str] = []


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if _forbidden and event in STARTS:
        _seen.append(f"{event} {arguments!r:.100}")
        pytest.fail(f"a unit test starts a process ({_seen[-1]}): it belongs in tests/integration", pytrace=False)


sys.addaudithook(_watch)  # it cannot be taken away again, so it asks whether it is wanted


@pytest.fixture(autouse=True)
def no_process() -> Iterator[None]:
    """Fail a test that starts a process, also when it swallows the refusal."""
    global _forbidden
    _seen.clear()
    _forbidden = True
    try:
        yield
    finally:
        _forbidden = False
    assert not _seen, f"a process was started: {_seen}"
