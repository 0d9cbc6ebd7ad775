"""A node of its own under docker compose, driven through the real `inv` commands."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
import yaml
from psycopg.conninfo import make_conninfo

from tests.support.leftovers import project_prefix
from tests.support.processes import wait_until
from tests.support.stacks import COMPOSE_FILE, free_port

OTHER_NODE = Path(__file__).with_name("other-node.yml")
NOTES = Path(__file__).with_name("notes.sql")
TASKS = "from cn_ops.tasks import namespace\n\nns = namespace()\n"
# Nothing else on this machine may hold it: it is searched for in whatever the commands write.
PASSWORD = "Kx9-only-for-tests-q7Zr"
COMMAND_SECONDS = 180
SERVICES = "label=com.docker.compose.oneoff=False"
TOOLS = ("pg_dump", "pg_dumpall", "pg_restore", "psql")

Settings = dict[str, Any]


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Everything that it said."""
        return self.out + self.err

    @property
    def document(self) -> Any:
        """Its stdout, which must be one JSON document and nothing else."""
        return json.loads(self.out)

    def ok(self) -> Done:
        """Fail the test, with everything that was said, unless it ended well."""
        assert self.code == 0, f"exit code {self.code}\n{self.text}"
        return self


@dataclass(frozen=True)
class Running:
    """A command under way; its output goes to files, so that nothing waits for a reader."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    def done(self, seconds: float = COMMAND_SECONDS) -> Done:
        """Wait for its end."""
        code = self.process.wait(seconds)
        return Done(code, self.out.read_text("utf-8"), self.err.read_text("utf-8"))


@dataclass
class Node:
    """A project's folder: its tasks.py, its cn_ops.yaml, its compose project and its port."""

    folder: Path
    settings: Settings
    environment: dict[str, str] = field(default_factory=dict)
    project: str = field(default_factory=lambda: f"{project_prefix()}-{uuid.uuid4().hex[:8]}")
    port: int = field(default_factory=free_port)
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "tasks.py").write_text(TASKS)
        self.settings["stack"]["compose"]["project"] = self.project
        self.settings.setdefault("application", {})["base_url"] = f"http://127.0.0.1:{self.port}"
        self.environment = {"OTHER_NODE_PORT": str(self.port), **self.environment}
        self.configure()

    def configure(self) -> None:
        """Write the settings as they are now."""
        (self.folder / "cn_ops.yaml").write_text(yaml.safe_dump(self.settings, allow_unicode=True))

    @property
    def server(self) -> str:
        """The service that is the server."""
        return str(self.settings["stack"].get("postgres", {}).get("service", "community-node-postgres"))

    @property
    def database(self) -> str:
        """The live database."""
        return str(self.settings["stack"].get("postgres", {}).get("database", "cn"))

    def start(self, *arguments: str, **environment: str) -> Running:
        """Start `inv` with these arguments, as the leader of a session of its own."""
        out, err = (self.folder / f".{uuid.uuid4().hex}.{name}" for name in ("out", "err"))
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "invoke", *arguments],
                cwd=self.folder,
                env={**os.environ, **self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                # whoever runs the tests in the background may have Ctrl-C ignored
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        self.started.append(process)
        return Running(process, out, err)

    def inv(self, *arguments: str, **environment: str) -> Done:
        """Run `inv` to its end."""
        return self.start(*arguments, **environment).done()

    def compose(self, *arguments: str) -> str:
        """Run compose itself, on the node's own files."""
        files = [part for file in self.settings["stack"]["compose"]["files"] for part in ("--file", file)]
        done = subprocess.run(
            ["docker", "compose", "--project-name", self.project, *files, *arguments],
            cwd=self.folder,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def containers(self) -> dict[str, str]:
        """Return the state of each service's container, as the engine has it."""
        rows = docker(
            *("ps", "--all", "--filter", self._label, "--filter", SERVICES),
            *("--format", '{{.Label "com.docker.compose.service"}} {{.State}}'),
        )
        return dict(row.split() for row in rows.splitlines())

    def container(self, service: str) -> str:
        """Return the id of a service's container; of several, one a line."""
        return docker(
            *("ps", "--all", "--quiet", "--no-trunc", "--filter", self._label, "--filter", SERVICES),
            *("--filter", f"label=com.docker.compose.service={service}"),
        ).strip()

    def running(self) -> set[str]:
        """Return the services that run."""
        return {name for name, state in self.containers().items() if state == "running"}

    def volumes(self) -> list[str]:
        """Return the project's volumes."""
        return docker("volume", "ls", "--quiet", "--filter", self._label).split()

    def sql(self, statement: str, database: str | None = None) -> str:
        """Run SQL beside the server, as its owner; return the rows, unaligned."""
        user = self.settings["stack"].get("postgres", {}).get("user", "cn")
        wanted = ["-U", user, "-d", database or self.database, "-v", "ON_ERROR_STOP=1"]
        return docker("exec", self.container(self.server), "psql", "-XAtq", *wanted, "-c", statement).strip()

    @contextmanager
    def gate_shut(self) -> Iterator[None]:
        """Lock a table that nothing but a dump looks at: pg_dump waits for it as long as the block lasts."""
        (address,) = docker(
            "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", self.container("db")
        ).split()
        login = {"host": address, "user": "keeper", "password": PASSWORD, "dbname": self.database}
        with psycopg.connect(make_conninfo(**login)) as connection:
            connection.execute("lock table gate in access exclusive mode")
            yield

    def tools(self) -> list[str]:
        """Return the client tools that run in the server's container, each with its process id."""
        rows = docker("top", self.container(self.server), "-eo", "pid,comm,args").splitlines()[1:]
        return [row for row in rows if row.split()[1] in TOOLS]

    def loading(self) -> bool:
        """Whether a restore is filling the new database, as it does while it takes a nap."""
        statement = "select count(*) from pg_stat_activity where datname like 'notes%' and query ilike 'refresh%'"
        return self.sql(statement, "postgres") != "0"

    def clients(self) -> list[str]:
        """Return the docker commands on this machine that work on the project."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                line = process.cmdline()
                if process.name().startswith("docker") and any(self.project in word for word in line):
                    found.append(" ".join(line))
        return found

    def journal(self) -> str:
        """Return what is left to heal, '' for nothing."""
        file = self.folder / "tmp" / "cn-ops" / f"compose-{self.project}.journal.json"
        return file.read_text() if file.exists() else ""

    def backups(self) -> list[str]:
        """Return the names in the backup folder, the lock's left out."""
        folder = self.folder / "test-results" / "community-node-recovery" / "backups"
        return (
            sorted(path.name for path in folder.iterdir() if path.name != ".cn-ops.lock") if folder.exists() else []
        )

    def summary(self) -> dict[str, Any]:
        """Return the newest drill's summary."""
        results = self.folder / "test-results" / "community-node-recovery"
        document: dict[str, Any] = json.loads((results / "latest-summary.json").read_text("utf-8"))
        return document

    def log(self) -> str:
        """Return what the drills logged so far."""
        logs = sorted((self.folder / "tmp" / "logs" / "community-node-recovery").glob("*.log"))
        return "".join(log.read_text("utf-8") for log in logs)

    def remove(self) -> None:
        """End its commands and remove everything of the project from the engine, whatever became of its files."""
        for process in self.started:
            process.kill()
            process.wait()
        if containers := docker("ps", "--all", "--quiet", "--filter", self._label).split():
            docker("rm", "--force", "--volumes", *containers)
        for kind in ("volume", "network"):
            if names := docker(kind, "ls", "--quiet", "--filter", self._label).split():
                docker(kind, "rm", *names)
        shutil.rmtree(self.folder)

    @property
    def _label(self) -> str:
        return f"label=com.docker.compose.project={self.project}"


def demo(folder: Path, **environment: str) -> Node:
    """Return the demo node, by its own compose file."""
    settings = {"stack": {"kind": "compose", "compose": {"files": [str(COMPOSE_FILE)]}, "stop_deadline": 10}}
    return Node(folder, settings, {"COMMUNITY_NODE_POSTGRES_PASSWORD": PASSWORD, **environment})


def other(folder: Path, *overriding: str, **environment: str) -> Node:
    """Return another node, its compose file a copy in its folder; ``overriding`` are compose files laid over it."""
    folder.mkdir(parents=True)
    files = ["node.yml"]
    shutil.copy(OTHER_NODE, folder / files[0])
    shutil.copy(NOTES, folder)
    for number, text in enumerate(overriding):
        files.append(f"over-{number}.yml")
        (folder / files[-1]).write_text(text)
    settings: Settings = {
        "stack": {
            "kind": "compose",
            "disposable": True,
            "compose": {"files": files},
            "postgres": {"service": "db", "database": "notes", "user": "keeper", "deadline": 60},
            "writers": ["web", "worker"],
            "stop_deadline": 10,
        },
        "application": {"deadline": 30, "read_path": None},
        "drill": {
            "count_table": "public.notes",
            "truncate": ["public.notes"],
            "service": "worker",
            **dict.fromkeys(("seed", "invite", "cleanup")),
        },
    }
    return Node(folder, settings, {"OTHER_NODE_PASSWORD": PASSWORD, **environment})


def docker(*arguments: str) -> str:
    """Ask the engine; what it refuses fails the test."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"docker {arguments}: {done.stderr}"
    return done.stdout


def wait_for(condition: Callable[[], object], running: Running, seconds: float = 90) -> None:
    """Wait for something that a command under way brings about; fail at once when the command ends before."""

    def holds() -> bool:
        if condition():
            return True
        assert running.process.poll() is None, f"it ended before: {running.done().text}"
        return False

    wait_until(holds, seconds)
