"""Folders of projects that use cn-ops: settings, a `tasks.py`, and commands run in them as a person would."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import yaml
from psycopg import sql
from psycopg.conninfo import make_conninfo

from cn_ops.journal import Intent, Journal
from cn_ops.operation import Operation, journal_path, operation
from cn_ops.phases import Phases, Silent
from cn_ops.report.progress import Progress
from cn_ops.settings import Settings
from cn_ops.settings.load import load
from cn_ops.stack import Server, Stack
from cn_ops.stack.choose import Choice
from cn_ops.stack.compose import ComposeStack
from cn_ops.stack.embedded import EmbeddedStack
from tests.support import ledger
from tests.support.leftovers import run_id

API, CLOCK = "ledger-api", "ledger-clock"
LEDGER_WRITERS = (API, CLOCK)
LEDGER_SERVER = "ledger-postgres"
LEDGER_DATABASE = 'the "ledger\'s" = 帳簿'
LEDGER = str(Path(ledger.__file__))
TASKS = "from cn_ops.tasks import namespace\n\nns = namespace()\n"
PREFIX = "ledger"


def ledger_service(name: str, *options: str) -> dict[str, Any]:
    """Return the settings of one of the ledger's services."""
    command = ["{python}", LEDGER, "serve", "--name", name, "--port", "{port}", *options]
    return {"command": command, "environment": {"DATABASE_URL": "{dsn}"}}


def ledger_settings(**stack: Any) -> dict[str, Any]:
    """Return `cn_ops.yaml` of the ledger on an embedded stack, as a document."""
    return {
        "stack": {
            "kind": "embedded",
            "embedded": {"services": {name: ledger_service(name) for name in LEDGER_WRITERS}},
            "postgres": {"service": LEDGER_SERVER, "database": LEDGER_DATABASE, "user": "ledger", "deadline": 30},
            "writers": list(LEDGER_WRITERS),
            "stop_deadline": 5,
            **stack,
        },
        "application": {"deadline": 20, "read_path": "/entries?topic={topic}"},
        "backup": {"prefix": PREFIX, "directory": "the backups", "compress": "1"},
        "drill": {
            "count_table": "ledger.entries",
            "truncate": ["ledger.entries"],
            "service": API,
            "seed": [sys.executable, LEDGER, "seed"],
            "cleanup": [sys.executable, LEDGER, "cleanup"],
            "invite": None,
        },
    }


def merged(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document with changes laid over it, key by key."""
    result = dict(document)
    for key, value in changes.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


class AnyNode(ABC):
    """A project's folder and its stack."""

    def __init__(self, folder: Path, document: Mapping[str, Any]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tasks.py").write_text(TASKS)
        self._document = document
        self.settings = self._written()

    def change(self, changes: Mapping[str, Any]) -> None:
        """Change the settings."""
        self._document = merged(self._document, changes)
        self.settings = self._written()

    def _written(self) -> Settings:
        (self.folder / "cn_ops.yaml").write_text(yaml.safe_dump(dict(self._document), allow_unicode=True))
        return load(self.folder, {}).settings

    @property
    @abstractmethod
    def stack(self) -> Stack:
        """The stack."""

    @property
    def database(self) -> str:
        """The live database."""
        return self.settings.stack.postgres.database

    @property
    def backups(self) -> Path:
        """The backup folder."""
        return self.settings.backup.directory

    @property
    def journal(self) -> Intent | None:
        """What is on record as unfinished."""
        return Journal(journal_path(self.settings, self.stack)).read()

    def backup_files(self) -> set[str]:
        """Return the names in the backup folder, the lock left out."""
        return {path.name for path in self.backups.glob("*") if path.name != ".cn-ops.lock"} | {
            path.name for path in self.backups.glob(".*.partial")
        }

    def argv(self, *arguments: str) -> list[str]:
        """Return the command line of a task."""
        return [sys.executable, "-m", "invoke", *arguments]

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start a task in a session of its own."""
        settings: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            "start_new_session": True,
        }
        return subprocess.Popen(self.argv(*arguments), cwd=self.folder, **{**settings, **options})

    def run(self, *arguments: str, timeout: float = 90, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a task to its end."""
        with self.start(*arguments, **options) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def ok(self, *arguments: str, timeout: float = 90, **options: Any) -> str:
        """Run a task that must succeed; return what it printed."""
        done = self.run(*arguments, timeout=timeout, **options)
        assert done.returncode == 0, f"{arguments} ended with {done.returncode}:\n{done.stderr}\n{done.stdout}"
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """Run a task that must succeed with `--json`; return its document."""
        return json.loads(self.ok(*arguments, "--json"))

    def summary(self) -> dict[str, Any]:
        """Return the summary of the last drill."""
        document: dict[str, Any] = json.loads((self.settings.drill.results / "latest-summary.json").read_text())
        return document

    @contextmanager
    def operation(self, name: str = "test", *, progress: Progress | None = None) -> Iterator[Operation]:
        """Hold the stack's lock in this process."""
        choice = Choice(self.stack, True, "test")
        with operation(name, self.settings, choice, Phases(progress or Silent())) as held:
            yield held

    def rows(self, statement: str, database: str | None = None) -> list[tuple[Any, ...]]:
        """Ask a database of the server."""
        return rows(self.stack, statement, self.database if database is None else database)

    def content(self) -> dict[str, tuple[int, str]]:
        """Return rows and hash of every table of the live database."""
        return content(self.stack, self.database)


class Node(AnyNode):
    """A project's folder and its embedded stack."""

    def __init__(self, folder: Path, document: Mapping[str, Any]) -> None:
        super().__init__(folder, document)
        self._cleaned_by = self.settings

    @property
    def stack(self) -> EmbeddedStack:
        """The stack."""
        return EmbeddedStack(self.settings)

    def clean(self) -> None:
        """End everything and remove the cluster."""
        EmbeddedStack(self._cleaned_by).down(volumes=True)


class ComposeNode(AnyNode):
    """A project's folder and its compose stack."""

    @property
    def stack(self) -> ComposeStack:
        """The stack."""
        return ComposeStack(self.settings)


def connected(stack: Server, database: str) -> psycopg.Connection[tuple[Any, ...]]:
    """Open a session in autocommit mode."""
    conninfo = make_conninfo(**stack.conninfo(database), client_encoding="UTF8")
    return psycopg.connect(conninfo, autocommit=True)


def rows(stack: Server, statement: str, database: str) -> list[tuple[Any, ...]]:
    """Run SQL in a database of a stack; return what it answered."""
    with connected(stack, database) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def content(stack: Server, database: str) -> dict[str, tuple[int, str]]:
    """Return the number of rows and a hash over the text of all of them, for every table and sequence."""
    found: dict[str, tuple[int, str]] = {}
    with connected(stack, database) as connection:
        tables = connection.execute(
            "SELECT n.nspname, c.relname, c.relkind"
            " FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'm', 'S') AND c.relispopulated"
            " AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
            " AND n.nspname NOT LIKE 'pg\\_%' ORDER BY 1, 2"
        ).fetchall()
        for schema, table, kind in tables:
            row = "(t.last_value, t.is_called)" if kind == "S" else "t"
            query = sql.SQL(f"SELECT {row}::text FROM {{}} AS t ORDER BY 1").format(sql.Identifier(schema, table))
            texts = [row[0] for row in connection.execute(query)]
            digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()
            found[f"{schema}.{table}"] = (len(texts), digest)
    return found


@contextmanager
def node(folder: Path, document: Mapping[str, Any]) -> Iterator[Node]:
    """Give a project's folder, nothing of it started, and remove its cluster afterwards."""
    made = Node(folder, document)
    try:
        yield made
    finally:
        made.clean()


@contextmanager
def bin_dir(source: Path, wrappers: Mapping[str, str]) -> Iterator[Path]:
    """Give a folder of PostgreSQL's binaries in which some are shell scripts; ``{real}`` is the real one.

    Everybody can enter it, for as root the server's account has to.
    """
    top = Path(tempfile.mkdtemp(prefix=f"cn-ops-test-{run_id()}-", dir="/var/tmp"))
    try:
        made = top / "installation" / "bin"
        made.mkdir(parents=True)
        for folder in (top, made.parent, made):
            folder.chmod(0o755)
        for program in source.iterdir():
            if program.name not in wrappers:
                (made / program.name).symlink_to(program.resolve())
        for name, script in wrappers.items():
            real = shlex.quote(str((source / name).resolve()))
            (made / name).write_text(f"#!/bin/sh\n{script.replace('{real}', real)}\n")
            (made / name).chmod(0o755)
        yield made
    finally:
        shutil.rmtree(top)


def environment(**changes: str) -> dict[str, str]:
    """Return this process's environment with changes."""
    return {**os.environ, **changes}
