"""Commands as people run them: `python -m invoke` in a folder of its own, with a space in its path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nodes import Node, ledger_settings, node


@pytest.fixture
def ledger(postgres: None, tmp_path: Path) -> Iterator[Node]:
    """The ledger in a folder of its own; nothing of it runs."""
    with node(tmp_path / "a ledger", ledger_settings()) as made:
        yield made


@pytest.fixture(scope="module")
def shared_ledger(postgres: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """The ledger, running and seeded, with one generation; one for a module's tests, which leave it like that."""
    with node(tmp_path_factory.mktemp("ledger") / "a ledger", ledger_settings()) as made:
        made.ok("stack.up")
        made.ok("stack.seed", "--events=50")
        made.ok("backup")
        yield made
