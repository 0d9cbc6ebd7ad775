"""The server in its container: the client tools beside it, and how this process reaches it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import BinaryIO

from cn_ops.errors import MissingError, OperationFailed, OpsError, TimedOut
from cn_ops.masking import remember
from cn_ops.process import Running
from cn_ops.settings import PostgresSettings
from cn_ops.stack.base import session_name
from cn_ops.stack.compose_cli import Compose
from cn_ops.stack.compose_containers import Container, service_containers
from cn_ops.stack.compose_lifeline import lifeline
from cn_ops.stack.tool_runner import exec_options

CONNECT_SECONDS = 3.0


class ComposeServer:
    """The service of a project that is PostgreSQL."""

    def __init__(self, compose: Compose, settings: PostgresSettings) -> None:
        self._compose = compose
        self._postgres = settings
        self._password: str | None = None
        self._found: Container | None = None
        self._address: tuple[str, int] | None = None

    def forget(self) -> None:
        """Look for the container and its address anew: it is about to be started, stopped or replaced."""
        self._found = self._address = None

    def seen(self, found: Mapping[str, Container]) -> None:
        """Take note of the container as somebody has just seen it, so that it is not looked for again."""
        container = found.get(self._postgres.service)
        if container is None or not container.running or (self._found and self._found.id != container.id):
            self.forget()
        if container and container.running:
            self._found = container

    def accepts_connections(self, timeout: float) -> bool:
        """Whether it accepts connections over TCP; asked for at most ``timeout`` seconds."""
        asking = ("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self._postgres.port))
        try:
            self._compose.run("exec", "-T", self._postgres.service, *asking, timeout=timeout)
        except (OperationFailed, TimedOut):
            return False
        return True

    @contextmanager
    def tool_started(
        self, argv: Sequence[str], *, stdin: BinaryIO | None = None, stdout: BinaryIO | None = None
    ) -> Iterator[Running]:
        """Start a client tool in the server's container.

        Ending the local client would leave the tool running in there. One without input is ended by its
        lifeline, also after a kill -9 of this process; one with input ends with that; and their sessions are ended.
        """
        session = session_name()
        container, password = self._container(), self._known_password()
        inside = exec_options(self._postgres.user, session)
        inside += ["-e", "PGPASSWORD"] if password else []
        secret = {"PGPASSWORD": password} if password else {}
        try:
            with (
                nullcontext((argv, stdin)) if stdin else lifeline(argv) as (command, source),
                self._compose.exec_started(
                    container.name, inside, command, stdin=source, stdout=stdout, env=secret
                ) as running,
            ):
                yield running
        except BaseException:
            with suppress(OpsError):
                self._end_session(session)
            raise

    def conninfo(self, database: str) -> dict[str, str]:
        """Return the published loopback port, or the container's own address.

        Raises ``MissingError`` when the server cannot be reached either way.
        """
        password = self._known_password()
        login = {"user": self._postgres.user, "dbname": database, **({"password": password} if password else {})}
        if not (self._address and _answers(*self._address)):
            self._address = self._that_answers()
        if self._address is None:
            self.forget()  # started again since it was seen, it may have another port
            self._address = self._that_answers()
        if self._address:
            host, port = self._address
            return {"host": host, "port": str(port), **login}
        raise MissingError(
            f"{self._postgres.service} cannot be reached from here: "
            "it publishes no port and its address does not answer",
            state="nothing was changed",
            hint=f'publish one on loopback in the compose file: ports: ["127.0.0.1::{self._postgres.port}"]',
        )

    def _container(self) -> Container:
        if self._found:
            return self._found
        container = service_containers(self._compose).get(self._postgres.service)
        if container is None or not container.running:
            raise MissingError(
                f"the server {self._postgres.service} does not run",
                state="nothing was changed",
                hint="start it: `inv stack.up`",
            )
        self._found = container
        return container

    def _known_password(self) -> str | None:
        if self._password is None:
            configured = self._postgres.password
            self._password = (
                configured.get_secret_value() if configured else self._container().variable("POSTGRES_PASSWORD")
            )
            remember(self._password)
        own = os.environ.get("PGPASSWORD")
        remember(own)
        return self._password or own

    def _that_answers(self) -> tuple[str, int] | None:
        return next((one for one in self._addresses(self._container()) if _answers(*one)), None)

    def _addresses(self, container: Container) -> Iterator[tuple[str, int]]:
        for host, inside, outside in container.ports:
            if inside == self._postgres.port:
                yield ("127.0.0.1" if host in ("", "0.0.0.0", "::") else host, outside)  # noqa: S104 - compared only
        for address in container.addresses:
            yield (address, self._postgres.port)

    def _end_session(self, session: str) -> None:
        query = f"select pg_terminate_backend(pid) from pg_stat_activity where application_name = '{session}'"  # noqa: S608 - made of hex digits
        password = self._known_password()
        options = ["-e", f"PGUSER={self._postgres.user}", *(["-e", "PGPASSWORD"] if password else [])]
        with self._compose.exec_started(
            self._container().name,
            options,
            ("psql", "-X", "-d", "postgres", "-c", query),
            stdin=None,
            stdout=None,
            env={"PGPASSWORD": password} if password else {},
        ) as running:
            running.wait(15, check=False)


def _answers(host: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((host, port), timeout=CONNECT_SECONDS):
        return True
    return False
