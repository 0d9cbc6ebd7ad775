"""Whose containers carry a project's name: an engine knows projects by name only, not by their files."""

from __future__ import annotations

import json
from pathlib import Path

from cn_ops.errors import UsageError
from cn_ops.stack.compose_cli import Compose

FILES_LABEL = "com.docker.compose.project.config_files"
PROJECT_LABEL = "com.docker.compose.project"


def refuse_foreign(compose: Compose) -> None:
    """Raise ``UsageError`` when the project's containers were made from another checkout's compose files.

    Compose would take them for ours: stop them, replace them and delete their data. Files that are gone belong
    to nobody any more, and a project made from some of our files and others is ours.
    """
    own = {file.resolve() for file in compose.settings.files}
    project = compose.settings.project
    for text in _labelled(compose):
        files = _paths(text)
        if own.isdisjoint(file.resolve() for file in files) and any(file.is_file() for file in files):
            raise UsageError(
                f"the compose project {project!r} belongs to {text}, not to {', '.join(map(str, sorted(own)))}",
                state="nothing was changed",
                hint=f"give this stack a name of its own (stack.compose.project), or end the other one first: "
                f"`docker compose -p {project} down` in {files[0].parent}",
            )


def _labelled(compose: Compose) -> list[str]:
    """Return what the project's containers say of their files, each once."""
    listing = ["ps", "--all", "--filter", f"label={PROJECT_LABEL}={compose.settings.project}"]
    shown = compose.ask_engine(*listing, "--format", f'{{{{json (.Label "{FILES_LABEL}")}}}}').stdout
    return sorted({text for line in shown.splitlines() if (text := json.loads(line))})


def _paths(text: str) -> list[Path]:
    """Split the label: compose joins with commas, which a file's name may have as well."""
    whole = Path(text)
    return [whole] if whole.is_file() else [Path(part) for part in text.split(",")]
