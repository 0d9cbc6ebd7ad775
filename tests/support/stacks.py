"""Builders of settings and stacks for tests."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cn_ops.settings import ApplicationSettings, Settings, StackSettings
from cn_ops.stack.embedded import EmbeddedStack

POSTGRES = "community-node-postgres"
USER_API = "community-node-user-api"
BOOTSTRAP = "community-node-bootstrap"
WRITERS = (USER_API, BOOTSTRAP)
EVERYTHING = (POSTGRES, *WRITERS)


def embedded_settings(state: Path, *, deadline: float = 30, **stack: Any) -> Settings:
    """Return the settings of an embedded stack that keeps everything under ``state``."""
    return Settings(
        stack=StackSettings(kind="embedded", **stack),
        application=ApplicationSettings(deadline=deadline),
        state=state,
    )


@contextmanager
def embedded(state: Path, **changes: Any) -> Iterator[EmbeddedStack]:
    """Give an embedded stack, nothing of it started, and remove all of it afterwards."""
    stack = EmbeddedStack(embedded_settings(state, **changes))
    try:
        yield stack
    finally:
        stack.down(volumes=True)


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
