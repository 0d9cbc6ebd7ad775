"""Nodes for the tests of the commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.e2e.commands import node
from tests.e2e.commands.node import Node

Make = Callable[..., Node]


@contextmanager
def _made(kind: Make, folder: Path) -> Iterator[Make]:
    with ExitStack() as undo:

        def make(*arguments: str, **environment: str) -> Node:
            made = kind(folder / f"a node {len(list(folder.iterdir()))}", *arguments, **environment)
            undo.callback(made.remove)
            return made

        yield make


@pytest.fixture
def make_demo(docker: None, tmp_path: Path) -> Iterator[Make]:
    """Makes demo nodes, nothing of them started; each is removed afterwards."""
    with _made(node.demo, tmp_path) as make:
        yield make


@pytest.fixture
def make_other(docker: None, tmp_path: Path) -> Iterator[Make]:
    """Makes other nodes, nothing of them started; each is removed afterwards."""
    with _made(node.other, tmp_path) as make:
        yield make


@pytest.fixture(scope="module")
def shared_other(docker: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One other node for a module's tests, up and with 20 notes."""
    with _made(node.other, tmp_path_factory.mktemp("shared")) as make:
        made = make()
        made.inv("stack.up").ok()
        yield made


@pytest.fixture
def other_node(shared_other: Node) -> Node:
    """The shared node, everything of it running, with its 20 notes and nothing to heal."""
    if shared_other.running() != {"db", "web", "worker"}:
        shared_other.inv("stack.up").ok()
    assert shared_other.journal() == ""
    shared_other.sql("truncate naps")
    assert shared_other.sql("select count(*) from notes") == "20"
    return shared_other
