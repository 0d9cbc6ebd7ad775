"""What a test run leaves behind, found when it ends."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator, Set
from contextlib import suppress
from pathlib import Path

import psutil

from cn_ops.stack.embedded_layout import AREAS, area_home

# Every process that the run starts inherits this variable; projects of compose carry its value in their name.
RUN_VARIABLE = "CN_OPS_TEST_RUN"
CHECKOUT = Path(__file__).resolve().parents[2]
CACHES = {".git", "__pycache__", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".nox", ".venv"}


def run_id() -> str:
    """Return what marks this run; a worker of xdist inherits its controller's."""
    return os.environ.setdefault(RUN_VARIABLE, uuid.uuid4().hex[:10])


def project_prefix() -> str:
    """Return how the compose projects of this run begin."""
    return f"cn-ops-test-{run_id()}"


def processes(own: set[int]) -> Iterator[str]:
    """Name the processes of this run that still live, but for ``own``."""
    for found in psutil.process_iter():
        with suppress(psutil.Error):
            if found.pid not in own and found.environ().get(RUN_VARIABLE) == run_id():
                yield f"process {found.pid}: {' '.join(found.cmdline())[:150]}"


def areas(folder: Path) -> Iterator[str]:
    """Name the areas of embedded clusters whose home is in the run's folder, or carries its mark."""
    for area in (area for place in AREAS for area in place.glob("cn-ops-*")):
        home = area_home(area)
        if home is not None and (home.is_relative_to(folder) or run_id() in str(home)):
            yield f"area {area} of {home}"


def docker_objects() -> Iterator[str]:
    """Name the containers, volumes and networks of the run's compose projects."""
    listings = (["ps", "--all"], ["volume", "ls"], ["network", "ls"])
    for listing in listings:
        done = subprocess.run(
            # Docker before 23 knows no `--format json`.
            ["docker", *listing, "--format", "{{json .}}"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        for line in done.stdout.splitlines():
            row = json.loads(line)
            name = str(row.get("Names") or row.get("Name"))
            if name.startswith(project_prefix()):
                yield f"docker {listing[0]}: {name}"


def checkout_files() -> Set[str]:
    """Return the files of the checkout, caches of tools left out."""
    found = []
    for folder, folders, files in os.walk(CHECKOUT):
        folders[:] = [name for name in folders if name not in CACHES and not name.endswith(".egg-info")]
        found += [os.path.relpath(os.path.join(folder, name), CHECKOUT) for name in files]  # noqa: PTH118 - 10 × faster
    return frozenset(found)
