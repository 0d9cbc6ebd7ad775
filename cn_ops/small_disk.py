"""A small disk that can be filled without harm: a tmpfs, which only root on Linux can mount."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cn_ops import process
from cn_ops.errors import OpsError
from cn_ops.files import private_folder

PAGE = 4096


def why_none() -> str:
    """Return why no small disk can be had here, '' when one can."""
    if sys.platform != "linux":
        return "a small disk to fill can be mounted on Linux only"
    if os.geteuid() != 0:
        return "only root can mount a small disk to fill"
    return ""


@contextmanager
def small_disk(folder: Path, size: int, owner: tuple[int, int] | None = None) -> Iterator[Path]:
    """Mount an empty disk of ``size`` bytes, in whole pages, for the block; one that was left is removed first."""
    release(folder)
    private_folder(folder)
    uid, gid = owner or (os.geteuid(), os.getegid())
    pages = max(1, -(-size // PAGE))
    options = f"size={pages * PAGE},mode=0700,uid={uid},gid={gid}"
    process.run(["mount", "-t", "tmpfs", "-o", options, "cn-ops-small-disk", str(folder)])
    try:
        yield folder
    finally:
        release(folder)


def release(folder: Path) -> None:
    """Unmount a small disk, if it is there, also when a killed command left it or something still uses it."""
    if os.path.ismount(folder):
        process.run(["umount", "--lazy", str(folder)])
    with suppress(OSError, OpsError):
        folder.rmdir()
