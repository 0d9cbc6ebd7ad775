"""The node's settings: environment variables, read when a command needs them.

Every function takes the environment and raises ``UsageError`` naming the variable.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from cn_ops.errors import UsageError

DEFAULT_USER_API_ADDR = "127.0.0.1:8080"
DEFAULT_BOOTSTRAP_ADDR = "127.0.0.1:8083"
DEFAULT_REFRESH_SECONDS = "300"
DEFAULT_TOPIC = "kukuri:e2e-alpha"
SCHEMES = ("postgresql://", "postgres://")


@dataclass(frozen=True)
class Address:
    """Where a service listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def database_url(environment: Mapping[str, str]) -> str:
    """Return DATABASE_URL; its value is never shown, it may hold a password."""
    url = environment.get("DATABASE_URL", "")
    example = "such as postgresql://cn@127.0.0.1:5432/cn"
    if not url:
        raise UsageError(f"DATABASE_URL is not set: it must be a PostgreSQL URL, {example}")
    if not url.startswith(SCHEMES):
        raise UsageError(f"DATABASE_URL is not a PostgreSQL URL, {example}")
    return url


def user_api_address(environment: Mapping[str, str]) -> Address:
    """Return where the user API listens."""
    return _address("USER_API_ADDR", environment.get("USER_API_ADDR") or DEFAULT_USER_API_ADDR)


def bootstrap_address(environment: Mapping[str, str]) -> Address:
    """Return where the bootstrap service listens."""
    return _address("BOOTSTRAP_ADDR", environment.get("BOOTSTRAP_ADDR") or DEFAULT_BOOTSTRAP_ADDR)


def refresh_seconds(environment: Mapping[str, str]) -> float:
    """Return the seconds between two refreshes of the bootstrap rows."""
    text = environment.get("BOOTSTRAP_REFRESH_SECONDS") or DEFAULT_REFRESH_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise UsageError(f"BOOTSTRAP_REFRESH_SECONDS must be a number of seconds above 0, got {text!r}")
    return seconds


def topic(environment: Mapping[str, str]) -> str:
    """Return the topic of the seeded events."""
    name = environment.get("E2E_COMMUNITY_NODE_TOPIC_NAME") or DEFAULT_TOPIC
    if not name.strip() or not _is_text(name):
        raise UsageError(f"E2E_COMMUNITY_NODE_TOPIC_NAME must be a topic's name, got {name!r}")
    return name


def _address(variable: str, text: str) -> Address:
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""  # an IPv6 address without brackets: where the port begins is a guess
    if not (colon and host and _is_port(port)):
        raise UsageError(f"{variable} must be host:port, such as 127.0.0.1:8080 or [::1]:8080, got {text!r}")
    return Address(host, int(port))


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
