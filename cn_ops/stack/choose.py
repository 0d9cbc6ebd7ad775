"""Which kind of stack runs the node, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cn_ops.errors import OpsError
from cn_ops.settings import Settings
from cn_ops.settings.schema import DEMO_COMPOSE_FILE
from cn_ops.stack.base import Stack
from cn_ops.stack.compose import ComposeStack
from cn_ops.stack.embedded import EmbeddedStack
from cn_ops.stack.server import ServerStack

# Where this package stands in its own repository; the demo's compose file is not part of the wheel.
OWN_COMPOSE_FILE = Path(__file__).resolve().parents[2] / DEMO_COMPOSE_FILE


@dataclass(frozen=True)
class Choice:
    """A stack, whether drills may destroy its data, and one line that says why it was taken."""

    stack: Stack
    disposable: bool
    reason: str


def choose(settings: Settings) -> Choice:
    """Take the stack that the settings name, or with `auto` the one that can run here."""
    kind = settings.stack.kind
    if kind == "auto":
        return _automatic(settings)
    make: dict[str, Callable[[Settings], Stack]] = {"compose": _compose, "embedded": _embedded, "server": ServerStack}
    return Choice(make[kind](settings), _disposable(settings, kind), f"{kind}: named by --stack or the settings")


def _automatic(settings: Settings) -> Choice:
    stack = _compose(settings)
    if not _is_own(settings):
        # An operator's node must never be mistaken for an empty embedded one because a daemon is down.
        return Choice(stack, _disposable(settings, "compose"), "compose: the settings name a compose file")
    try:
        stack.preflight()
    except OpsError as error:
        embedded = _embedded(settings)
        return Choice(embedded, _disposable(settings, "embedded"), f"embedded: {error.message.splitlines()[0]}")
    return Choice(stack, _disposable(settings, "compose"), "compose: a Docker engine answers")


def _compose(settings: Settings) -> ComposeStack:
    return ComposeStack(settings)


def _embedded(settings: Settings) -> EmbeddedStack:
    return EmbeddedStack(settings)


def _is_own(settings: Settings) -> bool:
    """Whether the compose files are the demo's, or the default ones of a project that has none."""
    files = settings.stack.compose.files
    if [file.resolve() for file in files] == [OWN_COMPOSE_FILE]:
        return True
    return "compose" not in settings.stack.model_fields_set and not any(file.exists() for file in files)


def _disposable(settings: Settings, kind: str) -> bool:
    declared = settings.stack.disposable
    if declared is not None:
        return declared
    if kind == "server":  # whatever compose files lie here
        return False
    own = [file.resolve() for file in settings.stack.compose.files] == [OWN_COMPOSE_FILE]
    return kind == "embedded" or own
