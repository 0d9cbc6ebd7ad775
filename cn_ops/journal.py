"""Intent on disk before acting, so that a later command can heal what a killed one left.

One JSON file for each stack: the operation under way and the steps that must be undone or finished. A step is
recorded before it is done and removed after it is undone. The file is gone when nothing is left to heal.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from cn_ops.errors import OperationFailed
from cn_ops.files import explained, publish_alone, remove, remove_asides
from cn_ops.model import Recreation

JOURNAL_VERSION = 1
JOURNAL_SUFFIX = ".journal.json"


@dataclass(frozen=True)
class Intent:
    """What an operation has begun and what must be healed if it does not come to its end.

    ``stopped`` services are to be started again · ``recreating`` is the database that is to be made anew from
    a dump · ``started`` services were started by the operation, which is to stop them · ``started_stack`` says
    that nothing ran before it, and the stack is to be taken down · ``closed`` databases let nobody in while their
    names are being swapped, and are to be opened again.
    """

    operation: str
    pid: int = field(default_factory=os.getpid)
    stopped: tuple[str, ...] = ()
    recreating: Recreation | None = None
    started: tuple[str, ...] = ()
    started_stack: bool = False
    closed: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing is left to heal."""
        return not (self.stopped or self.recreating or self.started or self.started_stack or self.closed)


class Journal:
    """The intents of the operation that holds a stack's lock."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Intent | None:
        """Return what an operation left behind, or None.

        Raises ``OperationFailed`` for a journal that cannot be understood: guessing could lose data.
        """
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise explained(error, self.path, "read the journal") from error
        try:
            document = json.loads(text)
            if document.pop("journal_version") != JOURNAL_VERSION:
                raise ValueError("another version")
            if unknown := document.keys() - {one.name for one in fields(Intent)}:
                raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
            intent: Intent = _adapter().validate_python(document)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise OperationFailed(
                f"the journal {self.path} cannot be understood",
                state="nothing was changed",
                hint="look at which services run (`inv stack.status`), set them right, then remove the file",
                evidence=str(error),
            ) from error
        return intent

    def write(self, intent: Intent) -> Intent:
        """Put an intent on disk, or remove the file when nothing is left to heal."""
        if intent.empty:
            remove(self.path)
            remove_asides(self.path)
        else:
            publish_alone(self.path, {"journal_version": JOURNAL_VERSION, **asdict(intent)})
        return intent

    def update(self, operation: str, **changes: Any) -> Intent:
        """Change some of what is on record, in the name of the operation that does so if it begins something."""
        before = self.read() or Intent(operation)
        if any(_begins(getattr(before, name), new) for name, new in changes.items()):
            before = replace(before, operation=operation, pid=os.getpid())
        return self.write(replace(before, **changes))


def _begins(before: Any, now: Any) -> bool:
    """Whether a change puts on record what was not there before."""
    if isinstance(now, tuple):
        return not set(now) <= set(before)
    return bool(now) and now != before


@cache
def _adapter() -> Any:
    # Lazy: a command that finds no journal should not pay for the import.
    from pydantic import TypeAdapter

    return TypeAdapter(Intent)
