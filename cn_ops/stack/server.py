"""The server stack: any PostgreSQL that a DSN leads to, such as a managed one, with client tools of this machine."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from cn_ops import process
from cn_ops.application import wait_healthy
from cn_ops.errors import MissingError, OpsError, UsageError
from cn_ops.files import private_folder, publish, remove
from cn_ops.masking import remember
from cn_ops.model import ServiceStatus
from cn_ops.process import Completed, ProcessFailed, Running
from cn_ops.settings import Settings
from cn_ops.stack.base import TOOL_LOCALE, StartableServer
from cn_ops.stack.embedded import end_throwaway, throwaway
from cn_ops.stack.embedded_layout import wheel_binaries
from cn_ops.stack.server_address import Address, address_of
from cn_ops.stack.server_tools import TOOLS, Tools, cluster_major, major_of
from cn_ops.stack.tool_runner import LocalTools

CONNECT_SECONDS = "10"
ASK_SECONDS = 60.0
APPLICATION_NAME = "cn-ops"
# Nothing says which services the commands stop and start, so they are one, of this name.
WRITERS = ("writers",)
# None of the server's own roles, for those are made in the scratch server as they are.
SCRATCH_ROLE = "cn_ops_scratch"


class ServerStack(LocalTools):
    """A server that cn-ops neither starts nor stops; see ``cn_ops.stack.base.Stack`` for the contract."""

    kind = "server"

    def __init__(self, settings: Settings, address: Address | None = None) -> None:
        self._settings = settings
        self._commands = settings.stack.server
        self.address = address or address_of(settings.stack, os.environ)
        self.tools = Tools(self._commands.bin_dir)
        remember(os.environ.get("PGPASSWORD"))

    @property
    def name(self) -> str:
        """Host, port and database: two databases of one server are two stacks."""
        return f"server-{self.address.slug}"

    @property
    def base_url(self) -> str:
        """Where the settings say that the application answers; empty unless somebody has said so."""
        application = self._settings.application
        return application.base_url if "base_url" in application.model_fields_set else ""

    @property
    def writers(self) -> tuple[str, ...]:
        """What the commands stop and start, or nothing where there are none."""
        return WRITERS if self._commands.stop and self._commands.start else ()

    def preflight(self) -> None:
        """Check that every client tool is there; whether its version will do, a session with the server tells."""
        for name in TOOLS:
            self.tools.path(name)

    def check_tools(self, server_version: Callable[[], str], *, restoring: bool, force: bool) -> None:
        """Compare the client tools' version with the server's; to restore, the writers' commands have to be there."""
        self.tools.check(server_version(), restoring=restoring, force=force)
        for setting, argv in (("stop", self._commands.stop), ("start", self._commands.start)):
            if restoring and argv and shutil.which(argv[0]) is None:
                raise MissingError(
                    f"stack.server.{setting}: the program {argv[0]!r} was not found",
                    state="nothing was changed",
                    hint="install it, or name it with its folder",
                )

    def build(self) -> None:
        """Do nothing: there are no images."""

    def start_postgres(self) -> None:
        """Check that the server answers: it is not ours to start."""
        self.server_version()

    def kill_server(self) -> None:
        """Raise ``UsageError``: the server is not ours to kill."""
        raise UsageError("a server that cn-ops did not start is not killed", state="nothing was changed")

    def why_no_small_disk(self) -> str:
        """Return that this server's disks are not ours."""
        return "the disks of a server that cn-ops did not start are not its own to fill"

    def small_disk(self, size: int) -> AbstractContextManager[Path]:  # noqa: ARG002 - the protocol's
        """Raise ``MissingError``: it cannot be done."""
        raise MissingError(self.why_no_small_disk())

    def up(self, services: Sequence[str]) -> None:
        """Start what was stopped."""
        self.start([name for name in services if name not in self.running()])

    def start(self, services: Sequence[str]) -> None:
        """Run the start command, and wait for the application where its address is set."""
        self._require_known(services)
        application = self._settings.application
        if set(services) & set(self.writers):
            self._command(self._commands.start or (), application.deadline)
            remove(self._stopped_marker)
            if self.base_url:
                wait_healthy(self.base_url.rstrip("/") + application.health_path, application.deadline)

    def stop(self, services: Sequence[str]) -> None:
        """Run the stop command; nobody can be asked what runs, so what was stopped is on record."""
        self._require_known(services)
        if set(services) & set(self.writers):
            self._command(self._commands.stop or (), self._settings.stack.stop_deadline)
            private_folder(self._stopped_marker.parent)
            publish(self._stopped_marker, b"")

    def running(self) -> tuple[str, ...]:
        """Return the server, which every session asks anyway, and the writers unless they were stopped from here."""
        return (self._settings.stack.postgres.service, *(() if self._stopped_marker.exists() else self.writers))

    def down(self, *, volumes: bool) -> None:  # noqa: ARG002 - the protocol's
        """Refuse: the server is not ours to end."""
        raise UsageError(
            f"the server {self.address.where} was not started by cn-ops, which neither starts, stops nor removes it",
            state="nothing was changed",
            hint="use what runs it: your provider's console, or its machine's service manager",
        )

    def status(self) -> tuple[ServiceStatus, ...]:
        """Ask the server for its version, in the live database; without one it may still answer."""
        service, where = self._settings.stack.postgres.service, f"{self.address.where}/{self.address.database}"
        try:
            version = self._asked("SHOW server_version", self.address.database)
            server = ServiceStatus(service, running=True, health=f"PostgreSQL {version}", where=where)
        except OpsError as error:
            reason = (error.evidence or error.message).splitlines()[0]
            server = ServiceStatus(service, running=False, health=f"not reachable: {reason}", where=where)
            with suppress(OpsError):
                health = f"PostgreSQL {self.server_version()}, and {reason}"
                server = ServiceStatus(service, running=True, health=health, where=where)
        running = self.running()
        return (server, *(ServiceStatus(name, name in running, "", self.base_url) for name in self.writers))

    def logs(self, lines: int) -> str:  # noqa: ARG002 - the protocol's
        """Say where to look: a server that is reached by a DSN keeps its log to itself."""
        return (
            f"{self.address.where} keeps its log itself: look in your provider's console, or on its machine in the "
            "folder that `SHOW log_directory` names; the services' logs are where they run"
        )

    def run_once(self, service: str, argv: Sequence[str]) -> Completed:  # noqa: ARG002 - the protocol's
        """Run a command here; it finds the database in DATABASE_URL and in libpq's variables."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        program = shutil.which(argv[0], path=path)
        if program is None:
            raise UsageError(f"the command `{argv[0]}` was not found", hint="is it installed in this environment?")
        environment = {**self._environment(), "PATH": path, "DATABASE_URL": self.address.url}
        return process.run([program, *argv[1:]], env=environment)

    @contextmanager
    def tool_started(
        self, argv: Sequence[str], *, stdin: BinaryIO | None = None, stdout: BinaryIO | None = None
    ) -> Iterator[Running]:
        """Start a client tool of this machine; where the server is, it learns from its environment."""
        program = str(self.tools.path(argv[0]))
        with process.started(
            [program, *argv[1:]], stdin=stdin, stdout=stdout, env=self._tool_environment()
        ) as running:
            yield running

    @property
    def folders(self) -> str:
        """In the state folder."""
        return str(private_folder(self._settings.state))

    def tool_place(self) -> tuple[Path, Mapping[str, str]]:
        """Return where the tools are, and what leads them to the server."""
        return self.tools.path("pg_restore").parent, self._tool_environment()

    def conninfo(self, database: str) -> dict[str, str]:
        """Return the DSN's parameters with this database."""
        return {**self.address.parameters, "dbname": database}

    def free_bytes(self) -> int | None:
        """Return None: nobody can ask a server for the space on its disk."""
        return None

    def server_version(self) -> str:
        """Return the server's version, such as `17.6`; raises ``MissingError`` when it does not answer."""
        return self._asked("SHOW server_version", "postgres").split()[0]

    @contextmanager
    def scratch(self) -> Iterator[StartableServer]:
        """Start a cluster of the server's major version on this machine, and remove it afterwards."""
        try:
            version = self.server_version()
        except OpsError:  # a server that is lost is no reason not to prove a backup
            version = self.tools.version("psql")
        binaries = self._binaries(version)
        with throwaway(self._settings, self._scratch_home, bin_dir=binaries, user=SCRATCH_ROLE) as server:
            yield server

    def end_scratch(self) -> bool:
        """Remove a cluster that a killed command left."""
        return end_throwaway(self._settings, self._scratch_home)

    @property
    def _scratch_home(self) -> Path:
        return self._settings.state / f"{self.name}-scratch"

    @property
    def _stopped_marker(self) -> Path:
        return self._settings.state / f"{self.name}.stopped"

    def _environment(self) -> dict[str, str]:
        defaults = {"PGCONNECT_TIMEOUT": CONNECT_SECONDS, "PGAPPNAME": APPLICATION_NAME}
        return {**defaults, **self.address.environment(os.environ)}

    def _tool_environment(self) -> dict[str, str]:
        return {**self._environment(), **TOOL_LOCALE}

    def _command(self, argv: Sequence[str], patience: float) -> None:
        process.run(argv, timeout=patience)

    def _asked(self, statement: str, database: str) -> str:
        argv = ["psql", "--no-psqlrc", "--no-align", "--tuples-only", "--no-password", f"--command={statement}"]
        named = database.replace("\\", "\\\\").replace("'", "\\'")
        try:
            return self.tool([*argv, f"--dbname=dbname='{named}'"], timeout=ASK_SECONDS).stdout.strip()
        except ProcessFailed as error:
            raise MissingError(
                f"the server {self.address.where} does not answer {self.address.user!r} in database {database!r}",
                state="nothing was changed",
                evidence=error.evidence,
                hint="check stack.server.dsn, the network and the password; `inv stack.status` asks again",
            ) from error

    def _binaries(self, version: str) -> Path:
        major = major_of(version)
        for folder in self.tools.cluster_folders(major):
            return folder
        wheel = wheel_binaries()
        if cluster_major(wheel) == major:
            return wheel
        raise MissingError(
            f"a proof needs the programs of a server of PostgreSQL {major} on this machine, and there are none",
            state="nothing was changed",
            hint=f"install it (Debian: apt-get install postgresql-{major}; it need not run), or set "
            "stack.server.bin_dir to a folder with initdb and postgres of that version",
        )

    def _require_known(self, services: Sequence[str]) -> None:
        known = (self._settings.stack.postgres.service, *self.writers)
        if unknown := [name for name in services if name not in known]:
            raise UsageError(
                f"the server stack has no service {unknown[0]!r}",
                state="nothing was changed",
                hint="stack.server.stop and stack.server.start say how the writers are stopped and started",
            )
