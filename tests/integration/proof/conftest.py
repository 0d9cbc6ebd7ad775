"""Servers of every major version that is here, and databases on them that are backed up, restored and damaged."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cn_ops.stack.embedded import EmbeddedStack
from tests.support import stacks
from tests.support.capabilities import require
from tests.support.nodes import Node, connected, merged
from tests.support.operations import execute

BINARIES = {"18": None, "15": Path("/usr/lib/postgresql/15/bin")}
ROLES = ("owner", "reader", "group")


@dataclass(frozen=True)
class Site:
    """A database of its own on one of the servers, with roles of its own; what is made there goes with it."""

    node: Node
    name: str

    @property
    def database(self) -> str:
        return self.name

    @property
    def stack(self) -> EmbeddedStack:
        return self.node.stack

    def role(self, name: str) -> str:
        return f"{self.name}_{name}"

    def filled_in(self, text: str) -> str:
        """Put this site's names into SQL."""
        for name in ROLES:
            text = text.replace(f"@{name}@", self.role(name))
        return text.replace("@prefix@", self.name)

    def sql(self, text: str, database: str | None = None) -> list[tuple[Any, ...]]:
        """Run SQL in the site's database, or in another."""
        with connected(self.stack, database or self.database) as connection:
            cursor = connection.execute(self.filled_in(text).encode())
            return cursor.fetchall() if cursor.description else []


NewSite = Callable[..., Site]


@pytest.fixture(scope="session", params=list(BINARIES))
def any_server(
    request: pytest.FixtureRequest, postgres: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedStack]:
    """A running server of each major version."""
    bin_dir = BINARIES[request.param]
    if bin_dir is not None:
        require("postgres15")
    state = tmp_path_factory.mktemp("server") / "the state"
    with stacks.embedded(state, embedded={"bin_dir": bin_dir}) as stack:
        stack.start_postgres()
        yield stack


@pytest.fixture(scope="session")
def major(any_server: EmbeddedStack) -> int:
    """The server's major version."""
    with connected(any_server, "postgres") as connection:
        return connection.info.server_version // 10_000


@pytest.fixture(scope="module")
def new_site(any_server: EmbeddedStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewSite]:
    """Make sites with an empty database."""
    with ExitStack() as made:

        def make(**changes: Any) -> Site:
            name = f"site_{uuid.uuid4().hex[:10]}"
            document = {
                "stack": {
                    "kind": "embedded",
                    "embedded": {
                        "directory": str(any_server._layout.home),
                        "bin_dir": str(any_server._settings.embedded.bin_dir or "") or None,
                    },
                    "postgres": {"database": name},
                },
                "backup": {"prefix": "node", "directory": "the backups", "compress": "1"},
                "drill": {"count_table": "public.counted"},
            }
            site = Site(Node(tmp_path_factory.mktemp("site") / "a site", merged(document, changes)), name)
            execute(any_server, "CREATE DATABASE {}", name)
            for role in ROLES:
                execute(any_server, "CREATE ROLE {}", site.role(role))
            made.callback(_remove, any_server, site)
            site.sql("CREATE TABLE public.counted (n int)")
            return site

        yield make


def _remove(server: EmbeddedStack, site: Site) -> None:
    for (database,) in site.sql("SELECT datname::text FROM pg_database WHERE NOT datistemplate", "postgres"):
        if database.startswith(site.name):
            for (name,) in site.sql(
                "SELECT subname::text FROM pg_subscription AS s JOIN pg_database AS d ON d.oid = s.subdbid"
                " WHERE datname = current_database()",
                database,
            ):
                site.sql(f'ALTER SUBSCRIPTION "{name}" DISABLE', database)
                site.sql(f'ALTER SUBSCRIPTION "{name}" SET (slot_name = NONE)', database)
                site.sql(f'DROP SUBSCRIPTION "{name}"', database)
            execute(server, "DROP DATABASE {} WITH (FORCE)", database)
    for (space,) in site.sql("SELECT spcname::text FROM pg_tablespace", "postgres"):
        if space.startswith(site.name):
            execute(server, "DROP TABLESPACE {}", space)
    for role in ROLES:
        execute(server, "DROP ROLE {}", site.role(role))
