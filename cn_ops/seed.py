"""The node's own commands that make and remove a drill's data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from cn_ops.errors import OperationFailed, OpsError, UsageError
from cn_ops.operation import Operation

SEED_LINE = "E2E_SEED_JSON="


@dataclass(frozen=True)
class Seeded:
    """What the seed says that it made."""

    document: dict[str, object]

    @property
    def event_ids(self) -> tuple[str, ...]:
        """The events that it names."""
        ids = self.document.get("event_ids")
        return tuple(str(one) for one in ids) if isinstance(ids, list) else ()


def run_seed(operation: Operation, events: int | None) -> Seeded | None:
    """Run the seed command; return what it made, or None when the settings have no seed command.

    ``events`` is handed on as `--events N`. Raises ``OperationFailed`` when its line of JSON is missing.
    """
    settings = operation.settings.drill
    if settings.seed is None:
        return None
    command = (*settings.seed, *(("--events", str(events)) if events is not None else ()))
    lines = _run(operation, "drill.seed", command).splitlines()
    found = [line.partition(SEED_LINE)[2] for line in lines if SEED_LINE in line]
    try:
        document = json.loads(found[-1]) if found else None
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise OperationFailed(
            f"the seed command `{' '.join(command)}` printed no line {SEED_LINE}{{…}}",
            evidence="\n".join(lines[-5:]),
            hint="drill.seed must be the node's own seed command, or null to drill with the data that is there",
        )
    return Seeded(document)


def run_invite(operation: Operation) -> str:
    """Make an invite; return what the command said. Raises ``UsageError`` when the settings have no command."""
    settings = operation.settings.drill
    if settings.invite is None:
        raise UsageError("there is no invite command", state="no invite was made", hint="set drill.invite")
    return _run(operation, "drill.invite", settings.invite).strip()


def run_cleanup(operation: Operation) -> bool:
    """Remove what the seed made; return whether there is a command for it."""
    settings = operation.settings.drill
    if settings.cleanup is None:
        return False
    _run(operation, "drill.cleanup", settings.cleanup)
    return True


def _run(operation: Operation, setting: str, command: Sequence[str]) -> str:
    try:
        return operation.stack.run_once(operation.settings.drill.service, command).stdout
    except OpsError as error:
        error.with_hint(f"the command is {setting}: mend what it complains of, or set another")
        raise
