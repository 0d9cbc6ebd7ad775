"""Builders of settings and stacks for tests."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cn_ops.settings import (
    ApplicationSettings,
    ComposeSettings,
    Settings,
    StackSettings,
)
from cn_ops.stack.compose import ComposeStack
from cn_ops.stack.embedded import EmbeddedStack
from tests.support.leftovers import CHECKOUT, project_prefix

COMPOSE_FILE = CHECKOUT / "compose" / "docker-compose.test.yml"
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
def embedded(state: Path, *, configuration: str = "", **changes: Any) -> Iterator[EmbeddedStack]:
    """Give an embedded stack, nothing of it started, and remove all of it afterwards."""
    stack = EmbeddedStack(embedded_settings(state, **changes), configuration=configuration)
    try:
        yield stack
    finally:
        stack.down(volumes=True)


def compose_settings(state: Path, project: str, **compose: Any) -> Settings:
    """Return the settings of a compose stack with its own project and free port."""
    return Settings(
        stack=StackSettings(
            kind="compose",
            compose=ComposeSettings(files=(COMPOSE_FILE,), project=project, **compose),
            stop_deadline=10,
        ),
        application=ApplicationSettings(base_url=f"http://127.0.0.1:{free_port()}"),
        state=state,
    )


@contextmanager
def compose(state: Path, **changes: Any) -> Iterator[ComposeStack]:
    """Give a compose stack, nothing of it started, and remove its containers, volumes and network afterwards."""
    project = f"{project_prefix()}-{uuid.uuid4().hex[:8]}"
    stack = ComposeStack(compose_settings(state, project, **changes))
    try:
        yield stack
    finally:
        stack.down(volumes=True)


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
