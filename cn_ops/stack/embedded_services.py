"""The services of an embedded stack: child processes on free loopback ports, on record on disk."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from cn_ops import process
from cn_ops.errors import OperationFailed, OpsError, UsageError
from cn_ops.files import publish_alone
from cn_ops.settings import EmbeddedService
from cn_ops.stack.embedded_layout import Layout

EVIDENCE_LINES = 12
# A service's own mark, in its environment: it tells the process from a later one with its number.
MARK_VARIABLE = "CN_OPS_SERVICE"


@dataclass(frozen=True)
class Entry:
    """A service's port and process. The mark is on record before the process is there, its number afterwards."""

    port: int
    mark: str | None = None
    pid: int | None = None
    started: float | None = None

    def process(self) -> psutil.Process | None:
        """Return the process if it is still that one and runs."""
        if self.mark is None:
            return None
        if self.pid is None:  # whoever started it did not live to write the number down
            return next((found for found in psutil.process_iter() if self._leads(found)), None)
        with suppress(psutil.Error):
            found = psutil.Process(self.pid)
            if found.status() != psutil.STATUS_ZOMBIE and self._is(found):
                return found
        return None

    def _is(self, found: psutil.Process) -> bool:
        # A correction of the clock moves the start time, and some programs overwrite their environment.
        return found.create_time() == self.started or self._carries_mark(found)

    def _leads(self, found: psutil.Process) -> bool:
        with suppress(OSError):
            return self._carries_mark(found) and os.getpgid(found.pid) == found.pid
        return False

    def _carries_mark(self, found: psutil.Process) -> bool:
        with suppress(psutil.Error, OSError):
            return found.environ().get(MARK_VARIABLE) == self.mark
        return False


class Services:
    """Starts and stops the services of one embedded stack."""

    def __init__(
        self, layout: Layout, services: Mapping[str, EmbeddedService], dsn: str, environment: Mapping[str, str]
    ) -> None:
        self._layout = layout
        self._services = services
        self._dsn = dsn
        self._environment = environment
        self._ports: dict[str, int] = {}

    def url(self, name: str) -> str:
        """Return where a service answers, or will: its port is chosen at the first question."""
        return f"http://127.0.0.1:{self._entry(name).port}"

    def health_url(self, name: str) -> str:
        """Return what to ask whether a service is healthy."""
        return self.url(name) + self.settings(name).health_path

    def settings(self, name: str) -> EmbeddedService:
        """Return a service's settings; raises ``UsageError`` naming the known ones."""
        if name not in self._services:
            known = ", ".join(self._services) or "none"
            raise UsageError(
                f"the embedded stack has no service {name!r}",
                hint=f"stack.embedded.services knows: {known}",
                state="nothing was changed",
            )
        return self._services[name]

    def running(self) -> tuple[str, ...]:
        """Return the services that run, also those that the settings name no more."""
        read = self._read()
        return tuple(name for name in {**self._services, **read} if name in read and read[name].process())

    def start(self, name: str) -> None:
        """Start a service unless it runs."""
        command, entry = self.settings(name).command, self._entry(name)
        if found := entry.process():
            self._write(name, _numbered(entry, found.pid))
            return
        self._layout.make()
        port = entry.port if _free(entry.port) else _free_port()
        entry = Entry(port, mark=uuid.uuid4().hex)
        self._write(name, entry)
        argv = [part.replace("{python}", sys.executable) for part in command]
        try:
            pid = process.spawn(
                [part.replace("{port}", str(port)).replace("{dsn}", self._dsn) for part in argv],
                log=self._layout.service_log(name),
                env={**self.environment(name), MARK_VARIABLE: str(entry.mark)},
            )
        except OpsError:
            self._write(name, Entry(port))
            raise
        self._write(name, _numbered(entry, pid))

    def stop(self, name: str, deadline: float) -> None:
        """Stop a service: ask, wait ``deadline`` seconds, then kill; raises if it runs even then."""
        found = self._read().get(name, Entry(0)).process()
        if found is None:
            return
        for number, patience in ((signal.SIGTERM, deadline), (signal.SIGKILL, 5.0)):
            with suppress(ProcessLookupError):
                os.killpg(found.pid, number)
            if _ended(found, patience):
                return
        raise OperationFailed(f"the service {name} (process {found.pid}) does not stop")

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment of a service; the interpreter's folder comes first on its PATH."""
        port = str(self._entry(name).port)
        own = {
            key: value.replace("{port}", port).replace("{dsn}", self._dsn)
            for key, value in self.settings(name).environment.items()
        }
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{inherited.get('PATH', os.defpath)}"
        return {**inherited, **self._environment, **own, "PATH": path, "PYTHONUNBUFFERED": "1"}

    def ended_early(self, name: str) -> str | None:
        """Say so when a service that was started runs no more, with the end of its log."""
        if self._entry(name).process():
            return None
        return f"{name} has ended\n{self.log_tail(name, EVIDENCE_LINES)}"

    def log_tail(self, name: str, lines: int) -> str:
        """Return the last lines of a service's log."""
        with suppress(OSError):
            return "\n".join(self._layout.service_log(name).read_text(errors="replace").splitlines()[-lines:])
        return ""

    def _entry(self, name: str) -> Entry:
        entry = self._read().get(name)
        if entry is None and name not in self._ports:
            self._ports[name] = _free_port()
        return entry or Entry(self._ports[name])

    def _read(self) -> dict[str, Entry]:
        try:
            document = json.loads(self._layout.registry.read_text())
            return {name: Entry(**entry) for name, entry in document.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, AttributeError) as error:
            raise OperationFailed(
                f"the record of services {self._layout.registry} cannot be understood",
                hint="end the services by hand, then remove the file",
            ) from error

    def _write(self, name: str, entry: Entry) -> None:
        entries = {**self._read(), name: entry}
        publish_alone(self._layout.registry, entries)


def _numbered(entry: Entry, pid: int) -> Entry:
    with suppress(psutil.Error):
        return replace(entry, pid=pid, started=psutil.Process(pid).create_time())
    return replace(entry, pid=pid)


def _ended(found: psutil.Process, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            if not found.is_running() or found.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
