"""The embedded stack: a private PostgreSQL and the node's services as child processes, without Docker."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from cn_ops import process
from cn_ops.application import wait_healthy
from cn_ops.errors import MissingError, OperationFailed, UsageError
from cn_ops.model import ServiceStatus
from cn_ops.process import Completed, Running
from cn_ops.settings import Settings
from cn_ops.small_disk import small_disk, why_none
from cn_ops.stack.base import SCRATCH_SETTINGS, StartableServer
from cn_ops.stack.embedded_cluster import PORT, Cluster
from cn_ops.stack.embedded_layout import installed_binaries, layout
from cn_ops.stack.embedded_services import Services
from cn_ops.stack.tool_runner import LocalTools


class EmbeddedStack(LocalTools):
    """A node on this machine alone; see ``cn_ops.stack.base.Stack`` for the contract."""

    kind = "embedded"

    def __init__(self, settings: Settings, *, configuration: str = "") -> None:
        stack = settings.stack
        self._all_settings = settings
        self._settings = stack
        self._deadline = settings.application.deadline
        self._layout = layout(stack.embedded.directory or settings.state / "embedded")
        self._postgres = stack.postgres
        self._cluster = Cluster(
            self._layout, stack.embedded.bin_dir, stack.postgres.user, stack.postgres.deadline, configuration
        )
        self._services = Services(
            self._layout,
            stack.embedded.services,
            dsn=self.url(stack.postgres.database),
            environment={"E2E_COMMUNITY_NODE_TOPIC_NAME": settings.drill.topic},
        )

    @property
    def name(self) -> str:
        """One elsewhere than in the state folder has its own: its journal is about its own databases."""
        where = os.path.relpath(self._layout.home, self._all_settings.state.resolve())
        # As seen from here: a project's folder may be moved, with the cluster in it.
        return "embedded" if where == "embedded" else f"embedded-{hashlib.sha256(os.fsencode(where)).hexdigest()[:8]}"

    @property
    def base_url(self) -> str:
        """Where the first writer answers."""
        return self._services.url(self.writers[0])

    @property
    def writers(self) -> tuple[str, ...]:
        """The services that write."""
        return self._settings.writers

    def preflight(self) -> None:
        """Check that there are binaries and that every named service is known; nothing is written."""
        for name in self.writers:
            self._services.settings(name)
        installed_binaries(self._settings.embedded.bin_dir)
        self._require_backups_apart()

    def check_tools(self, server_version: Callable[[], str], *, restoring: bool, force: bool) -> None:
        """Do nothing: the tools are the server's own."""

    def build(self) -> None:
        """Do nothing: there are no images."""

    def start_postgres(self) -> None:
        """Start the server, and give a new cluster its database."""
        self._cluster.start()
        if self._layout.fresh_marker.exists():
            exists = self.tool(
                ["psql", "-X", "-At", "-d", "postgres", "-c", "select datname from pg_database"]
            ).stdout.splitlines()
            if self._postgres.database not in exists:
                self.tool(["createdb", "--maintenance-db=postgres", "--", self._postgres.database])
            self._layout.fresh_marker.unlink(missing_ok=True)

    def kill_server(self) -> None:
        """Kill the server's first process; the others end by themselves."""
        self._cluster.kill()

    def why_no_small_disk(self) -> str:
        """Return why none can be mounted here."""
        return why_none()

    @contextmanager
    def small_disk(self, size: int) -> Iterator[Path]:
        """Mount one where the server's account can enter."""
        with small_disk(self._layout.small_disk, size, self._layout.owner) as folder:
            yield folder

    def up(self, services: Sequence[str]) -> None:
        """Start services; nothing about them can have changed while they run."""
        self.start(services)

    def start(self, services: Sequence[str]) -> None:
        """Start services, each when the one before is healthy, as a node that migrates first needs it."""
        end = time.monotonic() + self._deadline
        for name in services:
            if name == self._postgres.service:
                self.start_postgres()
                continue
            self._services.start(name)
            self._wait_healthy(name, end)

    def stop(self, services: Sequence[str]) -> None:
        """Stop services, the last started first."""
        for name in reversed(services):
            if name == self._postgres.service:
                self._cluster.stop()
            else:
                self._services.stop(name, self._settings.stop_deadline)

    def running(self) -> tuple[str, ...]:
        """Return what runs."""
        server = (self._postgres.service,) if self._cluster.pid() is not None else ()
        return server + self._services.running()

    def down(self, *, volumes: bool) -> None:
        """End the services and the server; with ``volumes`` remove the cluster too."""
        if volumes:
            self._require_backups_apart()
        self.stop(self.running())
        if volumes:
            self._layout.remove(self._settings.embedded.services)

    def status(self) -> tuple[ServiceStatus, ...]:
        """Describe the server and the services."""
        running = self.running()
        server = ServiceStatus(
            self._postgres.service,
            self._postgres.service in running,
            "",
            str(self._layout.sockets),
        )
        services = [
            ServiceStatus(name, name in running, "", self._services.url(name))
            for name in self._settings.embedded.services
        ]
        return (server, *services)

    def logs(self, lines: int) -> str:
        """Return the last lines of every log."""
        names = self._settings.embedded.services
        parts = {self._postgres.service: self._cluster.log_tail(lines)}
        parts.update({name: self._services.log_tail(name, lines) for name in names})
        return "\n".join(f"{name} | {line}" for name, text in parts.items() for line in text.splitlines())

    def run_once(self, service: str, argv: Sequence[str]) -> Completed:
        """Run a command with a service's environment."""
        environment = self._services.environment(service)
        program = shutil.which(argv[0], path=environment["PATH"])
        if program is None:
            raise UsageError(f"the command `{argv[0]}` was not found", hint="is it installed in this environment?")
        return process.run([program, *argv[1:]], env=environment, cwd=self._layout.home)

    @contextmanager
    def tool_started(
        self, argv: Sequence[str], *, stdin: BinaryIO | None = None, stdout: BinaryIO | None = None
    ) -> Iterator[Running]:
        """Start a client tool of the server's own version."""
        self._require_server()
        program = str(self._cluster.binaries / argv[0])
        with process.started(
            [program, *argv[1:]], stdin=stdin, stdout=stdout, env=self._cluster.environment()
        ) as running:
            yield running

    @property
    def folders(self) -> str:
        """Beside the cluster."""
        return str(self._layout.home)

    def tool_place(self) -> tuple[Path, Mapping[str, str]]:
        """Return where the server's binaries are, and what leads them to it."""
        self._require_server()
        return self._cluster.binaries, self._cluster.environment()

    def conninfo(self, database: str) -> dict[str, str]:
        """Return the socket's folder, the user and the database."""
        self._require_server()
        # The port too: PGPORT of the environment would lead to another server's socket.
        return {
            "host": str(self._layout.sockets),
            "port": str(PORT),
            "user": self._postgres.user,
            "dbname": database,
        }

    def url(self, database: str) -> str:
        """Return the URL with which the services reach a database."""
        user, name = quote(self._postgres.user, safe=""), quote(database, safe="")
        return f"postgresql://{user}@/{name}?host={quote(str(self._layout.sockets), safe='')}&port={PORT}"

    def free_bytes(self) -> int:
        """Return the free space of the cluster's file system."""
        data = self._layout.data
        return shutil.disk_usage(next(folder for folder in (data, *data.parents) if folder.exists())).free

    def _wait_healthy(self, name: str, end: float) -> None:
        url = self._services.health_url(name)
        wait_healthy(url, max(0.0, end - time.monotonic()), gave_up=lambda: self._services.ended_early(name))
        if reason := self._services.ended_early(name):
            raise OperationFailed(f"something else than {name} answers at {url}", evidence=reason)

    @contextmanager
    def scratch(self) -> Iterator[StartableServer]:
        """Start a second cluster that need not survive a crash, and remove it afterwards."""
        bin_dir, user = self._settings.embedded.bin_dir, self._postgres.user
        with throwaway(self._all_settings, self._scratch_home, bin_dir=bin_dir, user=user) as server:
            yield server

    def end_scratch(self) -> bool:
        """Remove a second cluster that a killed command left."""
        return end_throwaway(self._all_settings, self._scratch_home)

    @property
    def _scratch_home(self) -> Path:
        return self._layout.home.with_name(f"{self._layout.home.name}-scratch")

    @property
    def is_scratch(self) -> bool:
        """Whether a throwaway cluster is there."""
        return self._layout.scratch_marker.exists()

    def _require_backups_apart(self) -> None:
        """Raise ``UsageError`` when the backups lie where they would go with the data."""
        directory = self._all_settings.backup.directory.resolve()
        if any(directory.is_relative_to(folder.resolve()) for folder in (self._layout.data, self._layout.area)):
            raise UsageError(
                f"backup.directory lies in the cluster's own folder: {directory}",
                state="nothing was changed",
                hint="move it out of there: whatever takes the data would take the backups with it",
            )

    def claim_scratch(self) -> None:
        """Mark the folder as a throwaway cluster's; raises ``UsageError`` when it has a cluster that is none."""
        where = self._layout
        if where.has_cluster and not self.is_scratch:
            raise UsageError(
                f"the scratch server's place {where.home} is taken: the cluster in {where.data} is not one",
                state="nothing was changed",
                hint="set stack.embedded.directory of one of the two to another folder, or remove what nobody uses",
            )
        where.make()
        where.scratch_marker.touch(mode=0o600)

    def _require_server(self) -> None:
        if self._cluster.pid() is None:
            raise MissingError(
                "the embedded server does not run", state="nothing was changed", hint="start it: `inv stack.up`"
            )


@contextmanager
def throwaway(settings: Settings, home: Path, *, bin_dir: Path | None, user: str) -> Iterator[EmbeddedStack]:
    """Start a cluster in ``home`` that need not survive a crash, owned by ``user``, and remove it afterwards.

    One that a killed command left there is removed first.
    """
    server = _throwaway(settings, home, bin_dir, user)
    server.claim_scratch()
    server.down(volumes=True)
    try:
        server.claim_scratch()
        server.start_postgres()
        yield server
    finally:
        server.down(volumes=True)


def end_throwaway(settings: Settings, home: Path) -> bool:
    """Remove a throwaway cluster that a killed command left in ``home``; return whether there was one."""
    server = _throwaway(settings, home, None, settings.stack.postgres.user)
    if found := server.is_scratch:
        server.kill_server()  # to be stopped it would need programs of its own version
        server.down(volumes=True)
    return found


def _throwaway(settings: Settings, home: Path, bin_dir: Path | None, user: str) -> EmbeddedStack:
    embedded = settings.stack.embedded.model_copy(update={"directory": home, "bin_dir": bin_dir})
    postgres = settings.stack.postgres.model_copy(update={"user": user})
    stack = settings.stack.model_copy(update={"embedded": embedded, "postgres": postgres})
    lines = "".join(f"{name} = {value}\n" for name, value in SCRATCH_SETTINGS.items())
    return EmbeddedStack(settings.model_copy(update={"stack": stack}), configuration=lines)
