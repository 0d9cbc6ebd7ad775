"""Operations in this process, on the worker's server: a node's database of its own for each test."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cn_ops.names import Beside
from cn_ops.stack.embedded import EmbeddedStack
from cn_ops.stack.embedded_layout import wheel_binaries
from tests.support.left import Left
from tests.support.nodes import Node, bin_dir, merged
from tests.support.operations import Tools, beside_it, execute
from tests.support.stacks import USER_API

PREFIX = "node"
NewSite = Callable[..., Node]


def site_settings(server: EmbeddedStack, database: str) -> dict[str, Any]:
    return {
        "stack": {
            "kind": "embedded",
            "embedded": {"directory": str(server._layout.home)},
            "postgres": {"database": database},
        },
        "backup": {"prefix": PREFIX, "directory": "the backups", "compress": "1"},
    }


@pytest.fixture(scope="session")
def template(server: EmbeddedStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database with the demo node's schema and seed, to be copied."""
    name = f"template_{uuid.uuid4().hex[:8]}"
    execute(server, "CREATE DATABASE {}", name)
    node = Node(tmp_path_factory.mktemp("template"), site_settings(server, name))
    for command in (["cn", "migrate"], ["cn", "config", "seed"], ["cn", "e2e", "seed", "--events", "300"]):
        node.stack.run_once(USER_API, command)
    yield name
    execute(server, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def new_site(server: EmbeddedStack, template: str, tmp_path: Path) -> Iterator[NewSite]:
    """Make sites: a project's folder, and a copy of the node's database under any name."""
    made: list[Node] = []

    def make(database: str | None = None, **changes: Any) -> Node:
        name = database or f"site_{uuid.uuid4().hex[:10]}"
        execute(server, "CREATE DATABASE {} TEMPLATE {}", name, template)
        folder = tmp_path / f"a site {len(made)}"
        site = Node(folder, merged(site_settings(server, name), changes))
        made.append(site)
        return site

    yield make
    for site in made:
        site.stack.stop(tuple(name for name in site.stack.running() if name != site.settings.stack.postgres.service))
        server.start_postgres()
        for name in (site.database, *(one for kind in Beside for one in beside_it(site, kind))):
            execute(server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


@pytest.fixture
def site(new_site: NewSite) -> Node:
    """An ordinary site; its writers do not run."""
    return new_site()


@pytest.fixture(params=["beside", "recreate"])
def either_way(request: pytest.FixtureRequest, new_site: NewSite) -> Node:
    """A site whose restores work in one way or the other."""
    site: Node = new_site(restore={"strategy": request.param})
    return site


@pytest.fixture
def tools() -> Iterator[Tools]:
    """Let some of a site's client tools be shell scripts from now on; ``{real}`` is the real one."""
    with ExitStack() as folders:

        def change(site: Node, **wrappers: str) -> None:
            made = folders.enter_context(bin_dir(wheel_binaries(), wrappers))
            site.change({"stack": {"embedded": {"bin_dir": str(made)}}})

        yield change


@pytest.fixture
def left(site: Node) -> Left:
    """A site with a backup, and a restore that drops first to be left in the middle."""
    return Left(site)
