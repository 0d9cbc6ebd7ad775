"""What every kind of stack can do."""

from __future__ import annotations

import hashlib
import os
import socket
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import BinaryIO, Protocol

from cn_ops.model import ServiceStatus
from cn_ops.process import Completed, Running

# Every container has it, and it goes with the container.
CONTAINER_FOLDERS = "/tmp"  # noqa: S108 - folders in it have random names, and only their maker can enter them
# What the tools say is read, so whoever runs them, and whatever the image was made for, they say it in English.
TOOL_LOCALE: dict[str, str] = {"LC_ALL": "C"}
# For a server whose data nobody will miss: it need not survive a crash.
SCRATCH_SETTINGS: dict[str, str] = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "maintenance_work_mem": "256MB",
}


def session_name() -> str:
    """Return a name for a session, a client tool's or our own, by which it can be ended when its maker was killed."""
    return f"{own_sessions()}{os.getpid()}-{uuid.uuid4().hex[:12]}"


@cache
def own_sessions() -> str:
    """Return how the names begin of sessions whose makers' process ids are of this machine, or this container."""
    # Names of hosts may be alike, and so are the first namespaces of all; what a reboot has left ends with it.
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    here = f"{socket.gethostname()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    return f"cn-ops-{hashlib.sha256(here.encode()).hexdigest()[:8]}-"


class Server(Protocol):
    """A PostgreSQL server: what dumps, restores and fingerprints need."""

    def tool(
        self,
        argv: Sequence[str],
        *,
        stdin: BinaryIO | None = None,
        stdout: BinaryIO | None = None,
        timeout: float | None = None,
    ) -> Completed:
        """Run a PostgreSQL client tool beside the server, connected to it, and wait for it."""

    def tool_started(
        self, argv: Sequence[str], *, stdin: BinaryIO | None = None, stdout: BinaryIO | None = None
    ) -> AbstractContextManager[Running]:
        """Start a client tool beside the server; it is ended when the block is left."""

    @property
    def reads_files(self) -> bool:
        """Whether the client tools see this machine's files."""

    @property
    def folders(self) -> str:
        """Where scripts beside the client tools make folders of their own, as those see it."""

    def script_started(
        self,
        script: str,
        arguments: Sequence[str],
        *,
        stdin: BinaryIO | None = None,
        stdout: BinaryIO | None = None,
    ) -> AbstractContextManager[Running]:
        """Start a shell script beside the client tools, which are on its PATH; it is ended like one of them."""

    def conninfo(self, database: str) -> dict[str, str]:
        """Return the parameters with which this process reaches a database of the server."""


class StartableServer(Server, Protocol):
    """A server that may have to be started first."""

    def start_postgres(self) -> None:
        """Start the server, unless it runs, and wait until it accepts connections."""


class Stack(StartableServer, Protocol):
    """A running node: PostgreSQL and its services.

    The same tests hold every implementation to this contract (tests/integration/stack, tests/e2e).
    """

    @property
    def kind(self) -> str:
        """Its kind: `compose`, `embedded` or `server`."""

    @property
    def name(self) -> str:
        """What tells it from other stacks on this machine; locks and journals carry it."""

    @property
    def base_url(self) -> str:
        """Where the application answers; empty when nothing says so."""

    @property
    def writers(self) -> tuple[str, ...]:
        """The services that write to the database, in the order in which they start."""

    def preflight(self) -> None:
        """Check that what the stack needs is there; raises ``MissingError`` or ``UsageError``."""

    def check_tools(self, server_version: Callable[[], str], *, restoring: bool, force: bool) -> None:
        """Raise ``MissingError`` unless the client tools are of a version that suits the server.

        Beside the server they always are, and it is not asked for its own. ``force`` lets newer ones restore.
        """

    def build(self) -> None:
        """Build the images of the services, where there are any."""

    def kill_server(self) -> None:
        """Kill the server without warning, as a crash does; ``start_postgres`` brings it back with its data."""

    def why_no_small_disk(self) -> str:
        """Return why the server can be given no small disk to fill, '' when it can."""

    def small_disk(self, size: int) -> AbstractContextManager[Path]:
        """Give the server a disk of ``size`` bytes for the block: an empty folder that its account owns."""

    def up(self, services: Sequence[str]) -> None:
        """Make services run as configured now, in order, and wait as ``start`` does."""

    def start(self, services: Sequence[str]) -> None:
        """Start services that were stopped, in order; all are healthy within the application's deadline."""

    def stop(self, services: Sequence[str]) -> None:
        """Stop services and make sure that they have stopped."""

    def end_scratch(self) -> bool:
        """Remove a scratch server that a killed command left; return whether there was one."""

    def running(self) -> tuple[str, ...]:
        """Return the services that run, the server's among them, in the order in which they start."""

    def down(self, *, volumes: bool) -> None:
        """End everything; the data goes only with ``volumes``."""

    def status(self) -> tuple[ServiceStatus, ...]:
        """Describe every service."""

    def logs(self, lines: int) -> str:
        """Return the last lines that the services logged."""

    def run_once(self, service: str, argv: Sequence[str]) -> Completed:
        """Run a command once with a service's image and environment."""

    def free_bytes(self) -> int | None:
        """Return the free space where the server keeps its data, or None when it cannot be known."""

    def scratch(self) -> AbstractContextManager[StartableServer]:
        """Give a server of the same version that nobody else reaches, for the block, and remove it afterwards.

        It may be coming up, and ``start_postgres`` waits for that; its tools can be used already. One that a killed
        command left behind is removed first: the caller sees to it that there is one at a time.
        """
