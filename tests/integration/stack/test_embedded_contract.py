"""The embedded stack keeps the contract of every stack."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cn_ops.stack.embedded import EmbeddedStack
from tests.support import stacks
from tests.support.stack_contract import StackContract


@pytest.fixture(scope="module")
def stack(postgres: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """One stack for all of these tests, in a folder with a space in its path."""
    with stacks.embedded(tmp_path_factory.mktemp("contract") / "the state") as stack:
        yield stack


class TestEmbeddedStack(StackContract):
    """Every test comes from the contract."""
