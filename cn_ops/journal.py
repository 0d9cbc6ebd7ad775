"""Intent on disk before acting, so that a later command can heal what a killed one left.

One JSON file for each stack: the operation under way and the steps that must be undone or finished. A step is
recorded before it is done and removed after it is undone. The file is gone when nothing is left to heal.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from cn_ops.errors import OperationFailed
from cn_ops.files import explained, publish_json

JOURNAL_VERSION = 1


@dataclass(frozen=True)
class Intent:
    """What an operation has begun and what must be healed if it does not come to its end.

    ``stopped`` services are to be started again · ``recreating`` is the restore whose database may be half
    made · ``started_stack`` says that the operation started the stack itself and is to take it down.
    """

    operation: str
    pid: int = field(default_factory=os.getpid)
    stopped: tuple[str, ...] = ()
    recreating: dict[str, Any] | None = None
    started_stack: bool = False
    damaged: bool = False

    @property
    def empty(self) -> bool:
        """Whether nothing is left to heal."""
        return not (self.stopped or self.recreating or self.started_stack or self.damaged)


class Journal:
    """The intents of the operation that holds a stack's lock."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Intent | None:
        """Return what an operation left behind, or None.

        Raises ``OperationFailed`` for a journal that cannot be understood: guessing could lose data.
        """
        try:
            text = self.path.read_text()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise explained(error, self.path, "read the journal") from error
        try:
            document = json.loads(text)
            if document.pop("journal_version") != JOURNAL_VERSION:
                raise ValueError("another version")
            return Intent(**{**document, "stopped": tuple(document["stopped"])})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise OperationFailed(
                f"the journal {self.path} cannot be understood ({error})",
                state="nothing was changed",
                hint="look at which services run (`inv stack.status`), set them right, then remove the file",
            ) from error

    def begin(self, operation: str) -> Intent:
        """Start an operation: what an unfinished one left stays on record, under the new name."""
        left = self.read()
        return replace(left, operation=operation, pid=os.getpid()) if left else Intent(operation)

    def write(self, intent: Intent) -> Intent:
        """Put an intent on disk, or remove the file when nothing is left to heal."""
        if intent.empty:
            self.path.unlink(missing_ok=True)
        else:
            publish_json(self.path, {"journal_version": JOURNAL_VERSION, **asdict(intent)})
        return intent

    def update(self, **changes: Any) -> Intent:
        """Change some of what is on record."""
        return self.write(replace(self.read() or Intent("?"), **changes))
