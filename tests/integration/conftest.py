"""A real server: one for each worker, an empty database for each test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from cn_ops.stack.embedded import EmbeddedStack
from tests.support import stacks


@pytest.fixture(scope="session")
def server(postgres: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """One running server for all tests of this worker; its services are never started."""
    state = tmp_path_factory.mktemp("server") / "the state"
    with stacks.embedded(state, configuration="max_prepared_transactions = 4\n") as stack:
        stack.start_postgres()
        yield stack


@pytest.fixture
def database_url(server: EmbeddedStack) -> Iterator[str]:
    """An empty database, dropped afterwards, whoever is still connected to it."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    database = sql.Identifier(name)
    with psycopg.connect(make_conninfo(**server.conninfo("postgres")), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(database))
        yield server.url(name)
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(database))


@pytest.fixture
def embedded_stack(postgres: None, tmp_path: Path) -> Iterator[EmbeddedStack]:
    """A new embedded stack, nothing of it started; its folder has a space in its path."""
    with stacks.embedded(tmp_path / "the state") as stack:
        yield stack
