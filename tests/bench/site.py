"""A node to measure on: its project's folder, its stack, and its server's own tools, bare."""

from __future__ import annotations

import compileall
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import psutil
import yaml

from cn_ops.generations import read_catalogue
from cn_ops.process import run as engine
from cn_ops.settings import Settings
from cn_ops.settings.load import load
from cn_ops.stack.compose import ComposeStack
from cn_ops.stack.embedded import EmbeddedStack
from cn_ops.stack.embedded_layout import wheel_binaries
from tests.bench.measure import Ran, run
from tests.support.leftovers import CHECKOUT
from tests.support.nodes import TASKS, rows
from tests.support.stacks import COMPOSE_FILE, POSTGRES, free_port

# Of the demo node's seed, tables and indexes: measured once, and only a first guess.
BYTES_PER_EVENT = 1700
DATABASE = "cn"
ID_FORMAT = "%Y%m%d-%H%M%S"
TABLES_AT_A_TIME = 500
NOTHING: Mapping[str, str] = {}
# Invoke writes no compiled files, so what it loads from a checkout is compiled each time: what is measured is not.
INSTALLED = "installed"


@dataclass(frozen=True)
class Site:
    """One stack in one folder."""

    kind: str
    folder: Path
    settings: Settings
    scratch: str

    @property
    def stack(self) -> EmbeddedStack | ComposeStack:
        """The stack."""
        return EmbeddedStack(self.settings) if self.kind == "embedded" else ComposeStack(self.settings)

    @property
    def backups(self) -> Path:
        """The backup folder."""
        return self.settings.backup.directory

    def inv(self, *arguments: str, **environment: str) -> Ran:
        """Run one of our commands, as a person does."""
        return self._run([sys.executable, "-m", "invoke", *arguments], over=environment)

    def tool(self, *argv: str, stdin: BinaryIO | None = None, stdout: BinaryIO | None = None) -> Ran:
        """Run a program beside the server, as a script without cn-ops would."""
        before = self.compose("exec", "-T", "-e", "PGUSER=cn", POSTGRES) if self.kind == "compose" else []
        return self._run([*before, *argv], stdin=stdin, stdout=stdout)

    def shell(self, script: str, stdin: BinaryIO | None = None, stdout: BinaryIO | None = None) -> Ran:
        """Run a shell script beside the server."""
        return self.tool("sh", "-ec", script, stdin=stdin, stdout=stdout)

    def copied_out(self, there: str, here: Path) -> Ran:
        """Copy a file out of the server's container, or on this machine."""
        if self.kind == "compose":
            return self._run(self.compose("cp", f"{POSTGRES}:{there}", str(here)))
        return self._run(["cp", there, str(here)])

    def copied_in(self, here: Path, there: str) -> Ran:
        """Copy a file into the server's container, or on this machine."""
        if self.kind == "compose":
            return self._run(self.compose("cp", str(here), f"{POSTGRES}:{there}"))
        return self._run(["cp", str(here), there])

    def compose(self, *arguments: str) -> list[str]:
        """Return a command line of compose for this project."""
        project = self.settings.stack.compose.project
        return ["docker", "compose", "--project-name", project, "--file", str(COMPOSE_FILE), *arguments]

    def size(self) -> int:
        """Return the size of the database, in bytes."""
        return int(rows(self.stack, f"SELECT pg_database_size('{DATABASE}')", DATABASE)[0][0])

    def sql(self, statement: str, database: str = DATABASE) -> list[tuple[Any, ...]]:
        """Ask the server."""
        return rows(self.stack, statement, database)

    def _run(
        self,
        argv: Sequence[str],
        *,
        stdin: BinaryIO | None = None,
        stdout: BinaryIO | None = None,
        over: Mapping[str, str] = NOTHING,
    ) -> Ran:
        env = {**self._environment(), **over}
        return run(argv, server_cpu=self.server_cpu, env=env, cwd=self.folder, stdin=stdin, stdout=stdout)

    def _environment(self) -> Mapping[str, str]:
        own = {
            **{name: value for name, value in os.environ.items() if not _is_setting(name)},
            "PYTHONPATH": str(self.folder / INSTALLED),
            "COMMUNITY_NODE_USER_API_PORT": str(self._port),
        }
        if self.kind == "compose":
            return own
        cluster = EmbeddedStack(self.settings)
        where = cluster.conninfo(DATABASE)
        binaries = wheel_binaries()
        return {
            **own,
            "PATH": f"{binaries}{os.pathsep}{own['PATH']}",
            "PGHOST": where["host"],
            "PGPORT": where["port"],
            "PGUSER": where["user"],
        }

    @property
    def _port(self) -> int:
        return int(self.settings.application.base_url.rpartition(":")[2])

    def server_cpu(self) -> float:
        """Return the CPU seconds that the server and, in a container, the tools beside it have used so far."""
        with suppress(OSError, psutil.Error, KeyError, StopIteration):
            if self.kind == "compose":
                return _container_cpu(self)
            pid = int((_data(self) / "postmaster.pid").read_text().splitlines()[0])
            first = psutil.Process(pid)
            own = [first.cpu_times(), *(child.cpu_times() for child in first.children())]
            reaped = own[0].children_user + own[0].children_system
            return float(sum(one.user + one.system for one in own) + reaped)
        return 0.0


@contextmanager
def site(kind: str, folder: Path) -> Iterator[Site]:
    """Start a server for the block; everything of it goes afterwards."""
    folder.mkdir(parents=True)
    (folder / "tasks.py").write_text(TASKS)
    shutil.copytree(CHECKOUT / "cn_ops", folder / INSTALLED / "cn_ops")
    compileall.compile_dir(folder / INSTALLED, quiet=1)
    document: dict[str, Any] = {
        "stack": {"kind": kind, "disposable": True, "postgres": {"deadline": 120}},
        "application": {"base_url": f"http://127.0.0.1:{free_port()}", "deadline": 600},
        "backup": {"generations": 1000},
    }
    if kind == "compose":
        project = f"cn-ops-bench-{uuid.uuid4().hex[:8]}"
        document["stack"]["compose"] = {"files": [str(COMPOSE_FILE)], "project": project}
    (folder / "cn_ops.yaml").write_text(yaml.safe_dump(document))
    # Beside the server: without a space, for the shell; a container's is its own.
    scratch = str(Path(tempfile.gettempdir(), f"cn-ops-bench-{uuid.uuid4().hex[:8]}"))
    made = Site(kind, folder, load(folder, {}).settings, scratch)
    try:
        made.stack.start_postgres()
        yield made
    finally:
        made.stack.down(volumes=True)
        Path(f"{scratch}.dump").unlink(missing_ok=True)
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Content:
    """What there is to work on: about how large, how many more small tables, how many generations."""

    megabytes: int
    tables: int = 0
    generations: int = 0

    def __str__(self) -> str:
        """Name it in a heading and a file."""
        more = ((self.tables, "tables"), (self.generations, "generations"))
        return ", ".join([f"{self.megabytes} MB", *(f"{count} {kind}" for count, kind in more if count)])


def fill(there: Site, content: Content) -> None:
    """Give the database the demo node's schema and its own seed, as many events as make about that size."""
    node = there.settings.drill.service
    events = max(9, (content.megabytes * 1_000_000 - 8_000_000) // BYTES_PER_EVENT)
    for command in (["cn", "migrate"], ["cn", "config", "seed"], ["cn", "e2e", "seed", "--events", str(events)]):
        there.stack.run_once(node, command)
    _add_tables(there, content.tables)
    there.sql("CHECKPOINT")
    _add_generations(there, content.generations)


def _add_tables(there: Site, count: int) -> None:
    """Add small tables, some hundreds in a transaction: each takes locks."""
    for first in range(0, count, TABLES_AT_A_TIME):
        there.sql(
            f"DO $$ BEGIN FOR n IN {first}..{min(first + TABLES_AT_A_TIME, count) - 1} LOOP "
            "EXECUTE format('CREATE TABLE small_%s (id int PRIMARY KEY, note text)', n);"
            "EXECUTE format('INSERT INTO small_%s SELECT i, ''note '' || i FROM generate_series(1, 20) AS i', n);"
            "END LOOP; END $$"
        )


def _add_generations(there: Site, count: int) -> None:
    """Make one, and copies of it, an hour apart."""
    if not count:
        return
    there.inv("backup", "--json")
    (made,) = read_catalogue(there.backups, there.settings.backup.prefix).complete
    newest = datetime.strptime(made.id, ID_FORMAT).replace(tzinfo=UTC)
    for number in range(1, count):
        other = (newest - timedelta(hours=number)).strftime(ID_FORMAT)
        for path in there.backups.glob(f"*{made.id}*"):
            copy = path.with_name(path.name.replace(made.id, other))
            if path.suffix == ".json":
                copy.write_text(path.read_text(encoding="utf-8").replace(made.id, other), encoding="utf-8")
            else:
                os.link(path, copy)


def _is_setting(name: str) -> bool:
    """Whether a variable is a developer's own setting, which is none of this; images have to come from somewhere."""
    return name.startswith(("CN_OPS_", "COMMUNITY_NODE_", "PG")) and not name.endswith("_IMAGE")


def _data(there: Site) -> Path:
    return Path(str(there.sql("SHOW data_directory", "postgres")[0][0]))


def _container_cpu(there: Site) -> float:
    """Read the container's own accounts: the tools that ran in it and have ended are in there too."""
    container = engine([*there.compose("ps", "-q", POSTGRES)], env=dict(os.environ)).stdout.strip()
    for pattern in (
        f"/sys/fs/cgroup/docker/{container}/cpu.stat",
        f"/sys/fs/cgroup/system.slice/docker-{container}.scope/cpu.stat",
    ):
        with suppress(OSError):
            lines = dict(line.split() for line in Path(pattern).read_text().splitlines())
            return int(lines["usage_usec"]) / 1e6
    # the first version of cgroups
    return int(Path(f"/sys/fs/cgroup/cpuacct/docker/{container}/cpuacct.usage").read_text()) / 1e9
