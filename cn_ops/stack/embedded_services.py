"""The services of an embedded stack: child processes on free loopback ports, on record on disk."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from cn_ops import process
from cn_ops.errors import OperationFailed, UsageError
from cn_ops.files import publish_json
from cn_ops.settings import EmbeddedService
from cn_ops.stack.embedded_layout import Layout


@dataclass(frozen=True)
class Entry:
    """A service's port and process; the start time tells the process from a later one with its number."""

    port: int
    pid: int | None = None
    started: float | None = None

    def process(self) -> psutil.Process | None:
        """Return the process if it is still that one and runs."""
        if self.pid is None:
            return None
        with suppress(psutil.Error):
            found = psutil.Process(self.pid)
            if found.create_time() == self.started and found.status() != psutil.STATUS_ZOMBIE:
                return found
        return None


class Services:
    """Starts and stops the services of one embedded stack."""

    def __init__(
        self, layout: Layout, services: Mapping[str, EmbeddedService], dsn: str, environment: Mapping[str, str]
    ) -> None:
        self._layout = layout
        self._services = services
        self._dsn = dsn
        self._environment = environment

    def url(self, name: str) -> str:
        """Return where a service answers, choosing its port the first time."""
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
        """Return the services that run."""
        read = self._read()
        return tuple(name for name in self._services if name in read and read[name].process())

    def start(self, name: str) -> None:
        """Start a service unless it runs."""
        entry = self._entry(name)
        if entry.process():
            return
        if not _free(entry.port):
            entry = replace(entry, port=_free_port())
            self._write(name, entry)
        argv = [part.replace("{python}", sys.executable) for part in self.settings(name).command]
        pid = process.spawn(
            [part.replace("{port}", str(entry.port)).replace("{dsn}", self._dsn) for part in argv],
            log=self._layout.service_log(name),
            env=self.environment(name),
        )
        with suppress(psutil.Error):
            entry = replace(entry, pid=pid, started=psutil.Process(pid).create_time())
        self._write(name, entry)

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
        return f"{name} has ended: {self.log_tail(name, 5)}"

    def log_tail(self, name: str, lines: int) -> str:
        """Return the last lines of a service's log."""
        with suppress(OSError):
            return "\n".join(self._layout.service_log(name).read_text(errors="replace").splitlines()[-lines:])
        return ""

    def _entry(self, name: str) -> Entry:
        entry = self._read().get(name)
        if entry is None:
            self._layout.make()
            entry = Entry(_free_port())
            self._write(name, entry)
        return entry

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
        publish_json(self._layout.registry, {key: asdict(value) for key, value in entries.items()})


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
