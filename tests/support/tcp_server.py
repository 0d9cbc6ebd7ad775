"""A server as a provider gives it to people: over TCP, with passwords, and with roles that are no superuser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from cn_ops.settings import Settings
from cn_ops.settings.load import load
from cn_ops.stack.embedded import EmbeddedStack
from cn_ops.stack.server import ServerStack
from cn_ops.stack.server_settings import with_server
from tests.support.nodes import Node, merged
from tests.support.stacks import embedded_settings, free_port

# It needs escapes in a URL, quotes in pairs, and is found wherever it leaks.
PASSWORD = "s3cr3t w/o: 'end' @100%"
TENANT, APPLICATION, ADMINISTRATOR = "tenant", "application", "administrator"
HBA = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"


@dataclass(frozen=True)
class TcpServer:
    """A server on a loopback port; ``socket`` is its administrator's way in."""

    port: int
    socket: Path

    def dsn(self, database: str, user: str = TENANT, password: str = PASSWORD) -> str:
        """Return the URL of a database."""
        return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    def connected(self, database: str, user: str = TENANT) -> psycopg.Connection[tuple[Any, ...]]:
        """Open a session in autocommit mode."""
        return psycopg.connect(self.dsn(database, user), autocommit=True)

    def execute(self, statement: str, *names: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as the administrator; ``{}`` are names."""
        with psycopg.connect(
            host=str(self.socket), port=self.port, user="cn", dbname=database, autocommit=True
        ) as connection:
            cursor = connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
            return cursor.fetchall() if cursor.description else []


@contextmanager
def tcp_server(state: Path) -> Iterator[TcpServer]:
    """Run a server with a tenant who owns databases and may make some, and remove it afterwards."""
    port = free_port()
    listening = f"listen_addresses = '127.0.0.1'\nport = {port}\n"
    cluster = EmbeddedStack(embedded_settings(state), configuration=listening)
    try:
        cluster._cluster.start()
        (cluster._layout.data / "pg_hba.conf").write_text(HBA)
        cluster._cluster._control(["reload"], timeout=10)
        server = TcpServer(port, cluster._layout.sockets)
        for role, attributes in ((TENANT, "CREATEDB"), (APPLICATION, ""), (ADMINISTRATOR, "SUPERUSER")):
            escaped = PASSWORD.replace("'", "''")
            server.execute(f"CREATE ROLE {{}} LOGIN {attributes} PASSWORD '{escaped}'", role)
        yield server
    finally:
        cluster.down(volumes=True)


class ServerSite(Node):
    """A project's folder whose node is on a server that a DSN leads to."""

    def __init__(self, folder: Path, server: TcpServer, database: str, changes: dict[str, Any]) -> None:
        self.server = server
        document = {
            "stack": {"kind": "server", "server": {"dsn": server.dsn(database)}},
            "backup": {"prefix": "node", "directory": "the backups", "compress": "1"},
        }
        folder.mkdir(parents=True)
        (folder / "cn_ops.yaml").touch(mode=0o600)  # it holds a password
        super().__init__(folder, merged(document, changes))

    def _written(self) -> Settings:
        super()._written()
        return with_server(load(self.folder, {}), os.environ).settings

    @property
    def stack(self) -> ServerStack:  # type: ignore[override]  # another kind, with the same contract
        """The stack."""
        return ServerStack(self.settings)
