"""Whose containers carry a project's name: an engine knows projects by name only, not by their files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cn_ops.errors import UsageError
from cn_ops.settings import ComposeSettings
from cn_ops.stack.compose_containers import Container


def refuse_foreign(settings: ComposeSettings, found: Sequence[Container]) -> None:
    """Raise ``UsageError`` when the project's containers were made from another checkout's compose files.

    Compose would take them for ours: stop them, replace them and delete their data. Files that are gone belong
    to nobody any more, and a project made from some of our files and others is ours.
    """
    own = {file.resolve() for file in settings.files}
    for text in sorted({one.files for one in found if one.files}):
        files = _paths(text)
        if own.isdisjoint(file.resolve() for file in files) and any(file.is_file() for file in files):
            raise UsageError(
                f"the compose project {settings.project!r} belongs to {text}, "
                f"not to {', '.join(map(str, sorted(own)))}",
                state="nothing was changed",
                hint=f"give this stack a name of its own (stack.compose.project), or end the other one first: "
                f"`docker compose -p {settings.project} down` in {files[0].parent}",
            )


def _paths(text: str) -> list[Path]:
    """Split the label: compose joins with commas, which a file's name may have as well."""
    whole = Path(text)
    return [whole] if whole.is_file() else [Path(part) for part in text.split(",")]
