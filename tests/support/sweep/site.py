"""The node that the sweep strikes at: a small database, two writers, generations, and how each case begins."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cn_ops.fingerprint import Fingerprint
from cn_ops.generations import read_catalogue
from cn_ops.operation import journal_path
from cn_ops.postgres.fingerprint import take
from cn_ops.stack import Stack
from cn_ops.stack.embedded import EmbeddedStack
from tests.support import nodes
from tests.support.forker import Ended, Forker
from tests.support.leftovers import project_prefix
from tests.support.nodes import AnyNode, ComposeNode, Node
from tests.support.operations import back_up, bring_back, execute
from tests.support.stacks import free_port

DATABASE, PRISTINE = "the live one", "pristine"
IDLE_SERVICE = str(Path(nodes.__file__).with_name("idle_service.py"))
SERVER, WRITERS = "sweep-postgres", ("sweep-api", "sweep-clock")
PREFIX = "sweep"
COMPOSE_FILE = "sweep.yml"
KEPT = 2
OLDER = ("20250101-000000", "20250102-000000", "20250103-000000")
FOREIGN = "somebody's notes.txt"
# A CHECK on a varchar is written otherwise after its first round trip, so the second look is swept as well.
SCHEMA = """
CREATE SCHEMA s;
CREATE SEQUENCE s.numbers;
CREATE TABLE s.entries (id bigint PRIMARY KEY DEFAULT nextval('s.numbers'), body text NOT NULL,
                        kind varchar(9) NOT NULL CHECK (kind IN ('note', 'メモ')));
INSERT INTO s.entries (body, kind) SELECT 'entry ' || n, 'note' FROM generate_series(1, 60) AS n;
CREATE VIEW s.notes AS SELECT id, body FROM s.entries WHERE kind = 'note';
"""
PROPERTIES = (
    "COMMENT ON DATABASE {} IS 'a \"comment\"'",
    "ALTER DATABASE {} SET work_mem TO '5MB'",
)
# What a restore undoes.
DRIFT = "DELETE FROM s.entries WHERE id % 2 = 0"


def document(stack: Mapping[str, Any], application: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings."""
    return {
        "stack": {
            "postgres": {"service": SERVER, "database": DATABASE, "user": "sweeper", "deadline": 60},
            "writers": list(WRITERS),
            "stop_deadline": 5,
            **stack,
        },
        "application": {"deadline": 20, "read_path": None, **application},
        "backup": {"prefix": PREFIX, "directory": "the backups", "compress": "1", "generations": KEPT},
        "drill": {
            "count_table": "s.entries",
            "truncate": ["s.entries"],
            "service": WRITERS[0],
            **dict.fromkeys(("seed", "invite", "cleanup")),
        },
    }


def embedded(directory: Path) -> dict[str, Any]:
    """Return the settings of an embedded stack."""
    command = ["{python}", "-I", "-S", IDLE_SERVICE, "{port}"]
    services = {name: {"command": command} for name in WRITERS}
    return document({"kind": "embedded", "embedded": {"directory": str(directory), "services": services}}, {})


def compose(project: str, port: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of a compose stack, and its compose file."""
    settings = document(
        {
            "kind": "compose",
            "disposable": True,
            "compose": {"files": [COMPOSE_FILE], "project": project},
        },
        {"base_url": f"http://127.0.0.1:{port}"},
    )
    writer = {"image": "${CN_OPS_PYTHON_IMAGE:-python:3.13-slim}", "init": True}
    serve = "mkdir -p /tmp/www && echo ok > /tmp/www/healthz && exec python3 -m http.server --directory /tmp/www 8080"
    services = {
        SERVER: {
            "image": "${CN_OPS_POSTGRES_IMAGE:-postgres:17}",
            "init": True,
            "command": ["postgres", "-c", "fsync=off"],
            "environment": {"POSTGRES_USER": "sweeper", "POSTGRES_DB": DATABASE, "POSTGRES_PASSWORD": project},
            "volumes": ["data:/var/lib/postgresql/data"],
        },
        WRITERS[0]: {**writer, "command": ["sh", "-c", serve], "ports": [f"127.0.0.1:{port}:8080"]},
        WRITERS[1]: {**writer, "command": ["sleep", "infinity"]},
    }
    return settings, {"services": services, "volumes": {"data": None}}


@dataclass(frozen=True)
class Known:
    """What is good: the fingerprints of what the dumps bring back and of the database that has drifted from it."""

    dumped: Fingerprint
    drifted: Fingerprint
    newest: str


class Site:
    """A node whose commands run with a fault."""

    def __init__(self, node: AnyNode, forker: Forker) -> None:
        self.node = node
        self._forker = forker
        self._saved = node.folder / "saved backups"
        # What the live database is when a case begins.
        self.known = self._prepare()
        self.live = self.known.dumped

    @property
    def stack(self) -> Stack:
        """The stack."""
        return self.node.stack

    @property
    def journal_file(self) -> Path:
        """The journal."""
        return journal_path(self.node.settings, self.stack)

    def run(self, argv: tuple[str, ...], place: str | None = None, kind: str | None = None) -> Ended:
        """Run `inv`, with a fault at one position or without any."""
        return self._forker.run(self.node.folder, argv, place, kind)

    def fingerprint(self) -> Fingerprint:
        """Return what the live database is now."""
        return take(self.stack, DATABASE)

    def databases(self) -> dict[str, bool]:
        """Return the databases that are somebody's, and whether they let sessions in."""
        statement = (
            "SELECT datname, datallowconn AND datconnlimit <> -2 FROM pg_database"
            f" WHERE datname NOT IN ('postgres', 'template0', 'template1', '{PRISTINE}')"
        )
        return dict(self.node.rows(statement, "postgres"))

    def begin(self, *, drifted: bool) -> None:
        """Put everything as it is when a case begins."""
        for left in self.journal_file.parent.glob("*.journal.json*"):
            left.unlink()
        for left in self.journal_file.parent.glob(".*.partial"):
            left.unlink()
        shutil.rmtree(self.node.backups)
        shutil.copytree(self._saved, self.node.backups)
        self._start()
        for name in self.databases():
            if name != DATABASE:
                execute(self.stack, "DROP DATABASE {} WITH (FORCE)", name)
        wanted = self.live = self.known.drifted if drifted else self.known.dumped
        if drifted and DATABASE in self.databases():
            self.node.rows(DRIFT)
        if DATABASE not in self.databases() or self.fingerprint() != wanted:
            self._make_database(drifted=drifted)
            assert self.fingerprint() == wanted

    def begin_anew(self) -> None:
        """End what a failed case may have left, and make the database again."""
        self.stack.down(volumes=False)
        self.journal_file.unlink(missing_ok=True)
        self._start()
        for name in self.databases():
            execute(self.stack, "ALTER DATABASE {} ALLOW_CONNECTIONS true", name)
        self._make_database(drifted=False)

    def _start(self) -> None:
        if {SERVER, *WRITERS} <= set(self.stack.running()):
            return
        self.stack.start_postgres()
        self.stack.up(WRITERS)

    def _prepare(self) -> Known:
        self._start()
        for statement in PROPERTIES:
            execute(self.stack, statement, DATABASE)
        self.node.rows(SCHEMA)
        newest = back_up(self.node)
        # Once there and back: PostgreSQL then writes the schema as it will after every restore.
        bring_back(self.node)
        assert self.run(("compare",)).code == 0
        execute(self.stack, "CREATE DATABASE {} TEMPLATE {}", PRISTINE, DATABASE)
        dumped = self.fingerprint()
        for generation_id in OLDER:
            self._copy_generation(newest.generation.manifest_file, newest.generation.id, generation_id)
        (self.node.backups / FOREIGN).write_text("not ours")
        shutil.copytree(self.node.backups, self._saved)
        self.node.rows(DRIFT)
        return Known(dumped, self.fingerprint(), newest.generation.id)

    def _copy_generation(self, manifest_file: Path, own: str, other: str) -> None:
        text = manifest_file.read_text()
        manifest = json.loads(text)
        for name in (manifest["dump_file"], manifest["globals_file"]):
            shutil.copy(manifest_file.with_name(name), manifest_file.with_name(name.replace(own, other)))
        manifest_file.with_name(manifest_file.name.replace(own, other)).write_text(text.replace(own, other))
        assert other in {one.id for one in read_catalogue(self.node.backups, PREFIX).complete}

    def _make_database(self, *, drifted: bool) -> None:
        execute(self.stack, "DROP DATABASE IF EXISTS {} WITH (FORCE)", DATABASE)
        execute(self.stack, "CREATE DATABASE {} TEMPLATE {}", DATABASE, PRISTINE)
        for statement in PROPERTIES:
            execute(self.stack, statement, DATABASE)
        if drifted:
            self.node.rows(DRIFT)


@contextmanager
def embedded_site(folder: Path) -> Iterator[Site]:
    """Give a site of its own on an embedded stack, and remove everything of it."""
    node = Node(folder / "a site", embedded(folder / "the state"))
    try:
        # The cluster need not survive a power cut, and nothing here cuts the power.
        EmbeddedStack(node.settings, configuration="fsync = off\nmax_wal_size = 4GB\n").start_postgres()
        with closing(Forker()) as forker:
            yield Site(node, forker)
    finally:
        node.clean()


@contextmanager
def compose_site(folder: Path) -> Iterator[Site]:
    """Give a site of its own on a compose stack, and remove everything of it."""
    settings, file = compose(f"{project_prefix()}-{uuid.uuid4().hex[:8]}", free_port())
    node = ComposeNode(folder / "a site", settings)
    (node.folder / COMPOSE_FILE).write_text(yaml.safe_dump(file))
    try:
        with closing(Forker()) as forker:
            yield Site(node, forker)
    finally:
        node.stack.down(volumes=True)
