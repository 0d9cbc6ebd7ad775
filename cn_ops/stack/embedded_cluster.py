"""The server of an embedded stack: a private cluster that listens on a Unix socket only."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from cn_ops import process
from cn_ops.errors import MissingError, OperationFailed, TimedOut
from cn_ops.process import ProcessFailed
from cn_ops.stack.base import TOOL_LOCALE
from cn_ops.stack.embedded_layout import Layout, binaries

LOG_LINES = 15
ORPHAN_SECONDS = 10.0
# Part of the socket's name; nothing listens on a port of that number.
PORT = 5432
# Written to the end of postgresql.conf: the last value of a name wins.
CONFIGURATION = """
# cn-ops: reachable through the socket only; the folder of the socket is its owner's
listen_addresses = ''
port = {port}
max_connections = 60
shared_buffers = 64MB
logging_collector = off
"""


class Cluster:
    """One PostgreSQL cluster on this machine."""

    def __init__(
        self, layout: Layout, bin_dir: Path | None, user: str, deadline: float, configuration: str = ""
    ) -> None:
        self.layout = layout
        self.user = user
        self._bin_dir = bin_dir
        self._deadline = deadline
        self._configuration = configuration
        self._binaries: Path | None = None

    @property
    def binaries(self) -> Path:
        """The folder of the binaries; raises ``MissingError`` when there are none."""
        # Removing the cluster removes the copy of the binaries that its account runs.
        if self._binaries is None or not self._binaries.exists():
            self._binaries = binaries(self._bin_dir, self.layout)
        return self._binaries

    def pid(self) -> int | None:
        """Return the postmaster's process id, or None when it does not run."""
        with suppress(OSError, ValueError, psutil.Error):
            pid = int(self._pid_file.read_text().splitlines()[0])
            # The file outlives a killed server and the number may be somebody else's by now.
            if Path(psutil.Process(pid).cwd()) == self.layout.data:
                return pid
        return None

    def start(self) -> None:
        """Start the server, making the cluster first when there is none."""
        if self.pid() is not None:
            self._wait_ready()
            return
        self.layout.require_own_data()
        self.layout.make()
        if not self.layout.has_cluster:
            self._require_no_rest()
            self._initialise()
        self._check_major()
        self._end_orphans()
        self._start_server()

    def stop(self) -> None:
        """Stop the server; at once when it does not obey."""
        if self.pid() is None:
            return
        for mode in ("fast", "immediate"):
            with suppress(ProcessFailed, TimedOut):
                self._control(["stop", "--wait", "--silent", f"--mode={mode}", "--timeout=20"], timeout=30)
                return
            if self.pid() is None:
                return
        raise OperationFailed("the embedded server did not stop", evidence=self.log_tail())

    def kill(self) -> None:
        """Kill the first process and wait until it is gone; its children notice and end."""
        if (pid := self.pid()) is None:
            return
        with suppress(psutil.Error):
            found = psutil.Process(pid)
            found.kill()
            found.wait(ORPHAN_SECONDS)

    def log_tail(self, lines: int = LOG_LINES) -> str:
        """Return the last lines of the server's log."""
        with suppress(OSError):
            return "\n".join(self.layout.server_log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def environment(self) -> dict[str, str]:
        """Return a tool's environment: its libpq settings lead to this server and to no other."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return {
            **inherited,
            "PGHOST": str(self.layout.sockets),
            "PGPORT": str(PORT),
            "PGUSER": self.user,
            **TOOL_LOCALE,
        }

    def _wait_ready(self) -> None:
        """Wait for a server that another command started, and perhaps did not live to wait for."""
        end = time.monotonic() + self._deadline
        while self.pid() is not None and time.monotonic() < end:
            if self._says_ready():
                return
            time.sleep(0.02)
        raise self._not_ready("")

    def _end_orphans(self) -> None:
        """End what a killed server left: a new one does not start beside processes that use its memory."""
        if not self._pid_file.exists():
            return
        for found in (orphans := [one for one in psutil.process_iter() if self._is_ours(one)]):
            with suppress(psutil.Error):
                found.send_signal(signal.SIGQUIT)  # as a server does with its processes when one of them crashes
        _, alive = psutil.wait_procs(orphans, timeout=ORPHAN_SECONDS)
        # The number in the files may be a zombie's or somebody else's: a new server would take it for a rival.
        if not [one for one in alive if self._is_ours(one)]:
            for file in (self._pid_file, self.layout.sockets / f".s.PGSQL.{PORT}.lock"):
                file.unlink(missing_ok=True)

    def _is_ours(self, found: psutil.Process) -> bool:
        with suppress(psutil.Error):
            return found.cwd() == str(self.layout.data) and Path(found.exe()).name == "postgres"
        return False

    def _start_server(self) -> None:
        began = time.monotonic()
        log = self.layout.server_log.relative_to(self.layout.cluster)
        arguments = ["start", "--wait", "--silent", f"--timeout={max(1, round(self._deadline))}", f"--log={log}"]
        # Said at each start, for a project's folder may have been moved. A shell reads it, and its name is harmless.
        arguments += [f"--options=-k {shlex.quote(str(self.layout.sockets))}"]
        try:
            self._control(arguments, timeout=self._deadline + 10)
        except (ProcessFailed, TimedOut) as error:
            if time.monotonic() - began >= self._deadline:
                raise self._not_ready(error.evidence) from error
            raise OperationFailed(
                "the embedded server does not start",
                evidence=self.log_tail() or error.evidence,
                hint=self._where_to_look,
            ) from error

    def _says_ready(self) -> bool:
        # The eighth line of postmaster.pid is the server's own word for its state; pg_ctl reads it as well.
        with suppress(OSError, IndexError):
            return self._pid_file.read_text().splitlines()[7].strip() == "ready"
        return False

    def _not_ready(self, evidence: str) -> TimedOut:
        return TimedOut(
            f"the embedded server did not become ready within {self._deadline:g} s",
            evidence=self.log_tail() or evidence,
            hint=self._where_to_look,
        )

    @property
    def _where_to_look(self) -> str:
        return f"see {self.layout.server_log}; `inv stack.down --volumes` removes the cluster and its data"

    @property
    def _pid_file(self) -> Path:
        return self.layout.data / "postmaster.pid"

    def _control(self, arguments: Sequence[str], *, timeout: float) -> None:
        # Relative, since pg_ctl gives these names to a shell: it would read quotes and dollars on the way there.
        data = self.layout.data.relative_to(self.layout.cluster)
        self._as_account([str(self.binaries / "pg_ctl"), *arguments, f"--pgdata={data}"], timeout=timeout)

    def _as_account(self, argv: Sequence[str], *, timeout: float) -> None:
        environment: Mapping[str, str] = self.environment()
        process.run(argv, user=self.layout.account, cwd=self.layout.cluster, env=environment, timeout=timeout)

    def _initialise(self) -> None:
        """Make the cluster aside and rename it, so that a killed initdb leaves none rather than half of one."""
        for left in self.layout.cluster.glob("initdb-*"):
            shutil.rmtree(left, ignore_errors=True)
        aside = Path(tempfile.mkdtemp(prefix="initdb-", dir=self.layout.cluster))
        self.layout.give(aside)
        arguments = ["--encoding=UTF8", "--no-locale", "--auth=trust", "--no-sync", "--no-instructions"]
        self._as_account(
            [str(self.binaries / "initdb"), *arguments, f"--username={self.user}", f"--pgdata={aside.name}"],
            timeout=120,
        )
        with (aside / "postgresql.conf").open("a") as configuration:
            configuration.write(CONFIGURATION.format(port=PORT) + self._configuration)
        self.layout.fresh_marker.touch(mode=0o600)
        aside.rename(self.layout.data)

    def _require_no_rest(self) -> None:
        with suppress(FileNotFoundError):
            if any(self.layout.data.iterdir()):
                raise MissingError(
                    f"{self.layout.data} has no PG_VERSION: it is the rest of a data directory",
                    state="nothing was started",
                    hint="bring that file back, or remove the rest: `inv stack.down --volumes`",
                )

    def _check_major(self) -> None:
        made_by = (self.layout.data / "PG_VERSION").read_text().strip()
        version = process.run([str(self.binaries / "postgres"), "--version"], env=self.environment()).stdout
        ours = version.split()[2].split(".")[0]
        if made_by != ours:
            raise MissingError(
                f"the embedded cluster in {self.layout.data} was made by PostgreSQL {made_by}, "
                f"and the binaries are of version {ours}",
                state="nothing was started",
                hint="set stack.embedded.bin_dir to that version, or remove the cluster: `inv stack.down --volumes`",
            )
