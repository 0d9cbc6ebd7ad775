"""What the environment must provide for a test to run, and what happens when it does not."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pytest

from cn_ops.errors import OpsError
from cn_ops.stack.embedded_layout import wheel_binaries

REQUIRED = frozenset(name.strip() for name in os.environ.get("CN_OPS_REQUIRE", "").split(",") if name.strip())


@dataclass(frozen=True)
class Capability:
    """Something of the environment: its version, or why it is missing."""

    version: str
    missing: str


def require(name: str) -> None:
    """Skip the test when a capability is missing, or fail it when CN_OPS_REQUIRE names that one."""
    found = capability(name)
    if not found.missing:
        return
    if name in REQUIRED:
        pytest.fail(f"CN_OPS_REQUIRE names {name}, and it is missing: {found.missing}", pytrace=False)
    pytest.skip(f"{name}: {found.missing}")


@cache
def capability(name: str) -> Capability:
    """Look once; raises ``KeyError`` for a name that is none."""
    return PROBES[name]()


def check_required_names() -> None:
    """Refuse a CN_OPS_REQUIRE that names what does not exist: it would require nothing."""
    if unknown := REQUIRED - PROBES.keys():
        raise pytest.UsageError(f"CN_OPS_REQUIRE: {', '.join(sorted(unknown))}? It can name {', '.join(PROBES)}")


def _postgres() -> Capability:
    try:
        server = wheel_binaries() / "postgres"
    except OpsError as error:
        return Capability("", error.message)
    return _asked([str(server), "--version"], "its binaries do not run here")


def _postgres15() -> Capability:
    return _asked(
        ["/usr/lib/postgresql/15/bin/postgres", "--version"], "Debian's package postgresql-15 is not installed"
    )


def _docker() -> Capability:
    if shutil.which("docker") is None:
        return Capability("", "the command `docker` is not installed")
    engine = _asked(["docker", "version", "--format", "{{.Server.Version}}"], "no engine answers")
    compose = _asked(["docker", "compose", "version", "--short"], "the compose plugin is not installed")
    return Capability(f"{engine.version}, compose {compose.version}", engine.missing or compose.missing)


def _apache_age() -> Capability:
    if missing := capability("docker").missing:
        return Capability("", missing)
    image = os.environ.get("CN_OPS_POSTGRES_IMAGE", "postgres:17")
    looking = ["--entrypoint", "sh", image, "-c", "ls /usr/share/postgresql/*/extension/age.control"]
    return _asked(["docker", "run", "--rm", "--pull=never", *looking], f"the image {image} has no Apache AGE")


def _asked(argv: list[str], problem: str) -> Capability:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Capability("", f"{problem}: {error}")
    if done.returncode != 0:
        return Capability("", f"{problem}: {done.stderr.strip()[-200:]}")
    return Capability(done.stdout.strip(), "")


PROBES: dict[str, Callable[[], Capability]] = {
    "postgres": _postgres,
    "postgres15": _postgres15,
    "docker": _docker,
    "apache-age": _apache_age,
}
