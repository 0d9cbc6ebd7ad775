"""A server over TCP for each worker, and a node's database of its own on it for each test."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cn_ops.stack.embedded_layout import wheel_binaries
from tests.support.nodes import bin_dir
from tests.support.stacks import USER_API
from tests.support.tcp_server import TENANT, ServerSite, TcpServer, tcp_server

NewSite = Callable[..., ServerSite]
Tools = Callable[..., Path]


@pytest.fixture(scope="session")
def tcp(postgres: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TcpServer]:
    """The server."""
    with tcp_server(tmp_path_factory.mktemp("tcp") / "the state") as server:
        yield server


@pytest.fixture(scope="session")
def tcp_template(tcp: TcpServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with the demo node's schema and seed, and a large object, made by its owner, who is no superuser."""
    name = "the template"
    tcp.execute("CREATE DATABASE {} OWNER {}", name, TENANT)
    site = ServerSite(tmp_path_factory.mktemp("template") / "a site", tcp, name, tools_of_the_wheel())
    for command in (["cn", "migrate"], ["cn", "config", "seed"], ["cn", "e2e", "seed", "--events", "50"]):
        site.stack.run_once(USER_API, command)
    site.rows("SELECT lo_from_bytea(0, decode(repeat('ab', 5000), 'hex'))")
    return name


@pytest.fixture
def new_site(tcp: TcpServer, tcp_template: str, tmp_path: Path) -> Iterator[NewSite]:
    """Make sites, each with a copy of the template."""
    made: list[ServerSite] = []

    def make(database: str | None = None, **changes: object) -> ServerSite:
        name = database or f"site_{uuid.uuid4().hex[:10]}"
        with tcp.connected("postgres") as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{tcp_template}"'.encode())
        site = ServerSite(tmp_path / f"a site {len(made)}", tcp, name, tools_of_the_wheel())
        site.change(changes)
        made.append(site)
        return site

    yield make
    for site in made:
        rows = tcp.execute("SELECT datname FROM pg_database")
        for (name,) in rows:
            if name == site.database or name.startswith(f"{site.database}__"):
                tcp.execute("DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def site(new_site: NewSite) -> ServerSite:
    """An ordinary site of the tenant."""
    return new_site()


@pytest.fixture
def tools() -> Iterator[Tools]:
    """Let some of a site's client tools be shell scripts from now on; ``{real}`` is the real one.

    Gives their folder.
    """
    with ExitStack() as folders:

        def change(site: ServerSite, **wrappers: str) -> Path:
            made = folders.enter_context(bin_dir(wheel_binaries(), wrappers))
            site.change({"stack": {"server": {"bin_dir": str(made)}}})
            return made

        yield change


def tools_of_the_wheel() -> dict[str, object]:
    return {"stack": {"server": {"bin_dir": str(wheel_binaries())}}}
