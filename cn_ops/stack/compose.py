"""The compose stack: PostgreSQL and the node's services in containers."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from cn_ops.application import LONGEST_PAUSE, wait_healthy
from cn_ops.errors import MissingError, OperationFailed, OpsError, TimedOut, UsageError
from cn_ops.model import ServiceStatus
from cn_ops.process import Completed, Running
from cn_ops.settings import Settings
from cn_ops.stack.base import StartableServer
from cn_ops.stack.compose_cli import Compose
from cn_ops.stack.compose_containers import Container, by_service, inspected, service_containers
from cn_ops.stack.compose_project import refuse_foreign
from cn_ops.stack.compose_scratch import end_scratch, scratch_container
from cn_ops.stack.compose_server import ComposeServer
from cn_ops.stack.tool_runner import ContainerTools

# Compose writes it before lines of a log, whatever it is told of colours and wherever it writes.
ERASE_LINE = "\x1b[2K"
UP = ("up", "--detach", "--no-build", "--no-deps")


class ComposeStack(ContainerTools):
    """A node under docker compose; see ``cn_ops.stack.base.Stack`` for the contract."""

    kind = "compose"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.stack
        self._application = settings.application
        self._postgres = settings.stack.postgres
        self._drill_service = settings.drill.service
        self._checked = False
        port = urlsplit(settings.application.base_url).port
        self._compose = Compose(
            settings.stack.compose,
            environment={
                "E2E_COMMUNITY_NODE_TOPIC_NAME": settings.drill.topic,
                **({"COMMUNITY_NODE_USER_API_PORT": str(port)} if port else {}),
            },
        )
        self._server = ComposeServer(self._compose, self._postgres)

    @property
    def name(self) -> str:
        """Kind and project: an engine has a project once."""
        return f"compose-{self._settings.compose.project}"

    @property
    def base_url(self) -> str:
        """Where the settings say that the application answers."""
        return self._application.base_url

    @property
    def writers(self) -> tuple[str, ...]:
        """The services that write."""
        return self._settings.writers

    def preflight(self) -> None:
        """Check files, command, engine, the names of the services and whose the project's containers are.

        Once found to be there it is not looked for again.
        """
        if self._checked:
            return
        known, ids = self._compose.check()
        for setting, name in (
            ("stack.postgres.service", self._postgres.service),
            *(("stack.writers", writer) for writer in self.writers),
            ("drill.service", self._drill_service),
        ):
            if name not in known:
                raise UsageError(
                    f"the compose file has no service {name!r} ({setting})",
                    state="nothing was started",
                    hint=f"its services: {', '.join(known)}",
                )
        found = inspected(self._compose, ids)
        refuse_foreign(self._settings.compose, found)
        self._server.seen(by_service(found))
        self._checked = True

    def check_tools(self, server_version: Callable[[], str], *, restoring: bool, force: bool) -> None:
        """Do nothing: the tools are the server's own."""

    def build(self) -> None:
        """Build the images of the writers; services without a build section are left out by compose."""
        self._compose.run("build", *self.writers)

    def start_postgres(self) -> None:
        """Start the server and wait until it accepts connections over TCP.

        The official image first runs a temporary server that listens on the socket only: asking there would
        take it for the real one.
        """
        self._server.forget()
        container = self._containers().get(self._postgres.service)
        self._unpause(container)
        if container is None or not container.active:
            self._compose.run(*UP, self._postgres.service)
        deadline = time.monotonic() + self._postgres.deadline
        wait = 0.05
        while time.monotonic() < deadline:
            if self._server.accepts_connections(max(0.1, deadline - time.monotonic())):
                return
            self._refuse_ended(self._postgres.service)
            time.sleep(wait)
            wait = min(wait * 2, LONGEST_PAUSE)
        raise TimedOut(
            f"PostgreSQL ({self._postgres.service}) did not become ready within {self._postgres.deadline:g} s",
            evidence=self._service_logs(self._postgres.service),
            hint="see `inv stack.logs`; stack.postgres.deadline sets how long to wait",
        )

    def kill_server(self) -> None:
        """Kill the server's container; the engine does not start again what was killed so."""
        self._server.forget()
        self._compose.run("kill", "--signal=KILL", self._postgres.service)

    def why_no_small_disk(self) -> str:
        """Return that a container which runs is given none."""
        return "the server's container cannot be given a small disk while it runs"

    def small_disk(self, size: int) -> AbstractContextManager[Path]:  # noqa: ARG002 - the protocol's
        """Raise ``MissingError``: it cannot be done."""
        raise MissingError(self.why_no_small_disk())

    def up(self, services: Sequence[str]) -> None:
        """Create or renew the containers of services and wait until they are healthy."""
        self._bring_up(dict.fromkeys(services, UP))

    def start(self, services: Sequence[str]) -> None:
        """Start the containers that are there, as they are; make those that are missing."""
        there = self._containers()
        self._bring_up({name: ("start",) if name in there else UP for name in services})

    def stop(self, services: Sequence[str]) -> None:
        """Stop services; the engine kills what does not obey in time."""
        self._end_left_commands()
        if not services:
            return
        self._server.forget()
        patience = max(1, round(self._settings.stop_deadline))
        self._compose.run("stop", f"--timeout={patience}", *reversed(services), timeout=patience * 3 + 60)
        still = [name for name in services if name in self.running()]
        if still:
            raise OperationFailed(f"the services {', '.join(still)} do not stop")

    def running(self) -> tuple[str, ...]:
        """Return what runs, the server first, then the writers in their order, then the rest.

        What is paused, or waits to be restarted after a crash, counts: it would come back in the middle of a restore.
        """
        running = [one.service for one in self._containers().values() if one.active]
        order = {name: position for position, name in enumerate((self._postgres.service, *self.writers))}
        return tuple(sorted(running, key=lambda name: (order.get(name, len(order)), name)))

    def down(self, *, volumes: bool) -> None:
        """Remove the containers and the network; with ``volumes`` the data too."""
        self._server.forget()
        self._end_left_commands()
        patience = max(1, round(self._settings.stop_deadline))
        self._compose.run("down", f"--timeout={patience}", *(["--volumes"] if volumes else []))

    def status(self) -> tuple[ServiceStatus, ...]:
        """Describe every service of the project."""
        there = self._containers()
        return tuple(_status(name, there.get(name)) for name in self._compose.services())

    def logs(self, lines: int) -> str:
        """Return the last lines of every service."""
        return self._compose.run("logs", "--no-color", f"--tail={lines}").stdout.replace(ERASE_LINE, "")

    def run_once(self, service: str, argv: Sequence[str]) -> Completed:
        """Run a command in a new container of a service, which is gone afterwards, also when it is interrupted."""
        self._end_left_commands()
        name = f"{self._once}{uuid.uuid4().hex[:12]}"
        once = ["run", "--rm", "-T", "--no-deps", f"--name={name}", f"--entrypoint={argv[0]}", service, *argv[1:]]
        try:
            return self._compose.run(*once)
        except BaseException:
            with suppress(OpsError):
                self._compose.ask_engine("rm", "--force", name, check=False)
            raise

    def tool_started(
        self, argv: Sequence[str], *, stdin: BinaryIO | None = None, stdout: BinaryIO | None = None
    ) -> AbstractContextManager[Running]:
        """Start a client tool in the server's container; it is ended when the block is left."""
        return self._server.tool_started(argv, stdin=stdin, stdout=stdout)

    def conninfo(self, database: str) -> dict[str, str]:
        """Return the published loopback port, or the container's own address."""
        return self._server.conninfo(database)

    def free_bytes(self) -> int:
        """Return the free space of the file system that holds the data directory."""
        script = 'df -Pk "${PGDATA:-/var/lib/postgresql/data}" | tail -n 1'
        columns = self.tool(["sh", "-c", script]).stdout.split()
        return int(columns[-3]) * 1024

    def scratch(self) -> AbstractContextManager[StartableServer]:
        """Start a container of the server's own image, without network and with a volume of its own."""
        return scratch_container(self._compose, self._postgres, self.name)

    def end_scratch(self) -> bool:
        """Remove a container that a killed command left."""
        return end_scratch(self._compose, self.name)

    def _bring_up(self, commands: Mapping[str, Sequence[str]]) -> None:
        self._server.forget()
        end = time.monotonic() + self._application.deadline
        there = self._containers()
        for name, command in commands.items():
            self._unpause(there.get(name))
            self._compose.run(*command, name)
            if name == self._postgres.service:
                self.start_postgres()
            elif name == self.writers[0]:
                self._wait_for_application(name, end)
            else:
                self._wait_for_container(name, end)

    @property
    def _once(self) -> str:
        """How the containers of commands that run once are named."""
        return f"{self._settings.compose.project}-once-"

    def _end_left_commands(self) -> None:
        """End commands that a killed `run_once` left: such a seed writes on, and is no service that is stopped."""
        listing = ("ps", "--all", "--quiet", "--filter", f"name=^/?{self._once}")
        if left := self._compose.ask_engine(*listing).stdout.split():
            self._compose.ask_engine("rm", "--force", *left)

    def _unpause(self, container: Container | None) -> None:
        if container and container.state == "paused":
            self._compose.run("unpause", container.service)

    def _wait_for_application(self, name: str, end: float) -> None:
        url = self.base_url.rstrip("/") + self._application.health_path
        left, total = max(0.0, end - time.monotonic()), self._application.deadline
        wait_healthy(url, left, total=total, gave_up=lambda: self._ended_early(name))

    def _wait_for_container(self, name: str, end: float) -> None:
        wait = 0.05
        while True:
            container = self._containers().get(name)
            # A service without a health check says nothing of its health: running is all that can be asked.
            if container and container.running and container.health in ("", "healthy"):
                return
            self._refuse_ended(name)
            if time.monotonic() >= end:
                raise TimedOut(
                    f"{name} was not healthy within {self._application.deadline:g} s",
                    evidence=self._service_logs(name),
                    hint="look at `inv stack.logs`; application.deadline sets how long to wait",
                )
            time.sleep(min(wait, max(0.0, end - time.monotonic())))
            wait = min(wait * 2, LONGEST_PAUSE)

    def _ended_early(self, name: str) -> str | None:
        container = self._containers().get(name)
        if container is None or container.state in ("exited", "dead"):
            return f"{name} has ended: {self._service_logs(name)}"
        return None

    def _refuse_ended(self, name: str) -> None:
        if self._ended_early(name):
            raise OperationFailed(
                f"{name} has ended while it was waited for",
                evidence=self._service_logs(name),
                hint="look at `inv stack.logs`",
            )

    def _containers(self) -> dict[str, Container]:
        found = service_containers(self._compose)
        self._server.seen(found)
        return found

    def _service_logs(self, name: str) -> str:
        with suppress(OpsError):
            text = self._compose.run("logs", "--no-color", "--no-log-prefix", "--tail=15", name).stdout
            return text.replace(ERASE_LINE, "")
        return ""


def _status(name: str, container: Container | None) -> ServiceStatus:
    if container is None:
        return ServiceStatus(name, running=False, health="", where="")
    where = ", ".join(f"{host}:{outside}" for host, _, outside in container.ports)
    return ServiceStatus(name, container.running, container.health, where)
