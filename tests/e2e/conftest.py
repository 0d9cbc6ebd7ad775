"""A real compose stack."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cn_ops.stack.compose import ComposeStack
from tests.support import stacks


@pytest.fixture(scope="module")
def compose_stack(docker: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    """One compose stack for a module's tests, nothing of it started at first."""
    with stacks.compose(tmp_path_factory.mktemp("compose") / "the state") as stack:
        yield stack
