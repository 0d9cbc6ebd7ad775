"""Which settings file is in effect, and the folder that relative paths start from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from cn_ops.errors import SettingsError
from cn_ops.settings.environment import CONFIG

FILE_NAME = "cn_ops.yaml"
TASKS_NAME = "tasks.py"
# Settings are a page of text; a dump that was named by mistake must not be read into memory.
LARGEST_BYTES = 1 << 20


def find_file(cwd: Path, environment: Mapping[str, str]) -> Path | None:
    """Return the file that CN_OPS_CONFIG names, or the nearest cn_ops.yaml from ``cwd`` up.

    Raises ``SettingsError`` when CN_OPS_CONFIG names something that is not there.
    """
    if named := environment.get(CONFIG):
        try:
            file = cwd / Path(named).expanduser()
            if file.is_file():
                return file
        except (OSError, ValueError, RuntimeError) as error:
            raise SettingsError([f"{CONFIG}: cannot look at {named!r}: {_reason(error)}"]) from None
        what = "is a folder" if file.is_dir() else "is not there" if not file.exists() else "is not a file"
        raise SettingsError([f"{CONFIG}: {file} {what}"], hint=f"name a settings file, or unset {CONFIG}")
    # A link that leads nowhere is found too: passing over it would take another node's settings.
    return next((folder / FILE_NAME for folder in _upwards(cwd) if os.path.lexists(folder / FILE_NAME)), None)


def find_root(cwd: Path, file: Path | None) -> Path:
    """Return the settings file's folder; without one the nearest that holds a tasks.py, or ``cwd``."""
    if file is not None:
        return file.parent
    return next((folder for folder in _upwards(cwd) if os.path.lexists(folder / TASKS_NAME)), cwd)


def shown_name(cwd: Path, file: Path) -> str:
    """Name the file in messages: by its name alone where people are, in full elsewhere."""
    return file.name if file.parent == cwd else str(file)


def read_file(file: Path, name: str) -> str:
    """Return the text of a settings file; raises ``SettingsError`` for one that cannot be read as text."""
    try:
        if file.is_fifo():  # opening it would wait for whoever writes to it
            raise SettingsError([f"{name}: is a pipe, and not a file"])
        with file.open("rb") as stream:
            data = stream.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise SettingsError([f"{name}: cannot be read: {_reason(error)}"]) from None
    if len(data) > LARGEST_BYTES:
        raise SettingsError([f"{name}: is larger than {LARGEST_BYTES} bytes: is it a settings file?"])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError([f"{name}: is not UTF-8 text (line {line})"]) from None


def _upwards(folder: Path) -> tuple[Path, ...]:
    return (folder, *folder.parents)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
