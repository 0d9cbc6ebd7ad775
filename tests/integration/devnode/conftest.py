"""The demo node's commands and services, as the child processes that users run."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql


class Service:
    """A running service of the node."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self._log = log
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10)

    def log(self) -> str:
        return self._log.read_text()

    def health(self) -> int:
        try:
            return self.http.get("/healthz").status_code
        except httpx.TransportError:
            return 0

    def wait_health(self, status: int, seconds: float) -> float:
        """Return the seconds until the service answers ``status``; fail after ``seconds``."""
        began = time.monotonic()
        while self.health() != status:
            assert time.monotonic() - began < seconds, f"not {status} in {seconds} s:\n{self.log()}"
            time.sleep(0.02)
        return time.monotonic() - began


class Node:
    """The node's commands, against one database."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self._folder = folder
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "E2E_"))}
        self._environment = {**inherited, "DATABASE_URL": url}

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "cn_ops.devnode", *arguments],
            env={**self._environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def ok(self, *arguments: str, **environment: str) -> str:
        """Run a command that must succeed; return what it printed."""
        done = self.run(*arguments, **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def migrated(self) -> Node:
        self.ok("migrate")
        self.ok("config", "seed")
        return self

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(statement.encode()).fetchall()

    def rows(self) -> dict[str, int]:
        """Return the number of rows of every table of the node."""
        with psycopg.connect(self.url) as connection:
            tables = connection.execute(
                "SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
                " WHERE n.nspname LIKE 'cn\\_%' AND c.relkind IN ('r', 'p') ORDER BY 1, 2"
            ).fetchall()
            counted = {}
            for schema, table in tables:
                row = connection.execute(
                    sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))
                ).fetchone()
                assert row is not None
                counted[f"{schema}.{table}"] = int(row[0])
            return counted

    def recreate(self, *, template: str = "template1") -> None:
        """Drop the database under whoever uses it, and create it anew."""
        self.drop()
        self.maintain("CREATE DATABASE {} TEMPLATE {}", self.name, template)

    def drop(self) -> None:
        self.maintain("DROP DATABASE {} WITH (FORCE)", self.name)

    @property
    def name(self) -> str:
        return str(psycopg.conninfo.conninfo_to_dict(self.url)["dbname"])

    def maintain(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.url, dbname="postgres", autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    @contextmanager
    def service(self, name: str, **environment: str) -> Iterator[Service]:
        """Run a service until it is healthy, and end it afterwards."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        address = {"USER_API_ADDR": f"127.0.0.1:{port}", "BOOTSTRAP_ADDR": f"127.0.0.1:{port}"}
        log = self._folder / f"{name}-{port}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "cn_ops.devnode", name],
                env={**self._environment, **address, **environment},
                stdout=stream,
                stderr=stream,
            )
        running = Service(process, port, log)
        try:
            running.wait_health(200, 20)
            yield running
        finally:
            running.http.close()
            process.kill()
            process.wait(10)


@pytest.fixture
def node(database_url: str, tmp_path: Path) -> Node:
    """The node on an empty database."""
    return Node(database_url, tmp_path)
