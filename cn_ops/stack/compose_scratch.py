"""A throwaway server in a container of the stack's own image: no network, a volume of its own, a socket for us."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from cn_ops import process
from cn_ops.application import LONGEST_PAUSE
from cn_ops.errors import MissingError, OperationFailed, TimedOut
from cn_ops.files import claim_folder
from cn_ops.process import ProcessFailed, Running
from cn_ops.settings import PostgresSettings
from cn_ops.stack.base import SCRATCH_SETTINGS, session_name
from cn_ops.stack.compose_cli import Compose
from cn_ops.stack.compose_containers import service_containers
from cn_ops.stack.tool_runner import ContainerTools, exec_options

LABEL = "cn-ops.scratch"
SOCKETS = "/var/run/postgresql"
SOCKET = ".s.PGSQL.5432"
# What the engine says of a container that has ended, and was removed with that.
ENDED = re.compile(r"no such container|is not running", re.IGNORECASE)
# The data of a scratch server is an anonymous volume, which goes with its container.
DEADLINE_FACTOR = 2


class ScratchContainer(ContainerTools):
    """A server that only this process reaches, through its socket; a ``cn_ops.stack.base.Server``."""

    def __init__(self, engine: str, container: str, sockets: Path, postgres: PostgresSettings) -> None:
        self._engine = engine
        self._container = container
        self._sockets = sockets
        self._user = postgres.user
        self._deadline = postgres.deadline * DEADLINE_FACTOR

    def start_postgres(self) -> None:
        """Wait for the server, which starts with its container.

        While it makes the cluster, the image runs another one on the socket only. Raises ``MissingError`` when the
        socket cannot be reached from this machine, as with a remote engine.
        """
        end = time.monotonic() + self._deadline
        pause = 0.05
        while not self._accepts_connections():
            if time.monotonic() >= end:
                raise TimedOut(
                    f"the scratch server did not become ready within {self._deadline:g} s",
                    hint="see stack.postgres.deadline",
                )
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        if not (self._sockets / SOCKET).exists():
            raise MissingError(
                "the scratch server's socket cannot be reached from this machine",
                hint="the Docker engine must run on this machine, and share /tmp with it",
            )

    def _accepts_connections(self) -> bool:
        try:
            self.tool(["pg_isready", "--quiet", "--host=127.0.0.1"])
        except ProcessFailed:
            return False
        return True

    @contextmanager
    def tool_started(
        self, argv: Sequence[str], *, stdin: BinaryIO | None = None, stdout: BinaryIO | None = None
    ) -> Iterator[Running]:
        """Start a client tool in the container; whatever runs there ends with the container."""
        options = exec_options(self._user, session_name())
        command = [self._engine, "exec", "--interactive", *options, self._container, *argv]
        try:
            with process.started(command, stdin=stdin, stdout=stdout) as running:
                yield running
        except ProcessFailed as error:
            if not ENDED.search(error.evidence):
                raise
            raise OperationFailed(
                "the scratch server's container has ended while it was at work",
                hint="its image is that of the live server; is there room for its data, and enough memory?",
                evidence=error.evidence,
            ) from error

    def conninfo(self, database: str) -> dict[str, str]:
        """Return the socket's folder on this machine."""
        return {"host": str(self._sockets), "user": self._user, "dbname": database}


@contextmanager
def scratch_container(compose: Compose, postgres: PostgresSettings, stack: str) -> Iterator[ScratchContainer]:
    """Run a throwaway server for the block; one that a killed command left is removed first.

    It comes up meanwhile: see ``start_postgres``.
    """
    folder = _folder(stack)
    _remove(compose, stack, folder)
    sockets = folder / "s"
    try:
        claim_folder(folder, mode=0o700)
        sockets.mkdir()
        sockets.chmod(0o777)  # the container's account makes the socket in it; the folder above is closed
        container = _start(compose, postgres, stack, sockets)
        yield ScratchContainer(compose.engine, container, sockets, postgres)
    finally:
        _remove(compose, stack, folder)


def _start(compose: Compose, postgres: PostgresSettings, stack: str, sockets: Path) -> str:
    image, libraries = _image(compose, postgres.service)
    settings = {**SCRATCH_SETTINGS, **libraries}
    environment = {
        "POSTGRES_USER": postgres.user,
        "POSTGRES_HOST_AUTH_METHOD": "trust",
        "POSTGRES_INITDB_ARGS": "--no-sync",  # it is thrown away
    }
    return compose.ask_engine(
        *("run", "--detach", "--rm", "--init", "--network=none", f"--label={LABEL}={stack}"),
        *(f"--env={name}={value}" for name, value in environment.items()),
        f"--volume={sockets}:{SOCKETS}",
        *("--shm-size=256m", image, "postgres"),
        *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
    ).stdout.strip()


def _image(compose: Compose, service: str) -> tuple[str, dict[str, str]]:
    """Return the image of the server's container, or of its service, and the libraries that it preloads."""
    container = service_containers(compose).get(service)
    if container is not None:
        return container.image, _libraries(container.command)
    document = json.loads(compose.run("config", "--format=json").stdout)["services"][service]
    return str(document["image"]), _libraries(document.get("command") or ())


def _libraries(command: Sequence[str]) -> dict[str, str]:
    name = "shared_preload_libraries"
    values = [part.partition("=")[2] for part in command if part.removeprefix("-c").startswith(f"{name}=")]
    return {name: values[-1]} if values else {}


def end_scratch(compose: Compose, stack: str) -> bool:
    """Remove what a killed command left; return whether there was anything."""
    return _remove(compose, stack, _folder(stack))


def _remove(compose: Compose, stack: str, folder: Path) -> bool:
    listed: Any = compose.ask_engine("ps", "--all", "--quiet", f"--filter=label={LABEL}={stack}").stdout.split()
    for container in listed:
        # The socket belongs to the container's account, so it is removed from inside.
        compose.ask_engine("exec", container, "sh", "-c", f"rm -rf {SOCKETS}/* {SOCKETS}/.s.*", check=False)
        compose.ask_engine("rm", "--force", "--volumes", container, check=False)
    shutil.rmtree(folder, ignore_errors=True)
    return bool(listed)


def _folder(stack: str) -> Path:
    # Short, because a socket's path is limited to 107 bytes, and the same for every command, so that it is found.
    digest = hashlib.sha256(f"{os.geteuid()} {stack}".encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"cn-ops-scratch-{digest}"
