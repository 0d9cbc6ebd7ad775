"""The compose stack keeps the contract of every stack."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from cn_ops.stack.compose import ComposeStack
from tests.support.stack_contract import StackContract


@pytest.fixture(scope="module")
def stack(compose_stack: ComposeStack) -> ComposeStack:
    """One stack for all of these tests."""
    return compose_stack


class TestComposeStack(StackContract):
    """The contract, and what only a server with passwords can show."""

    def test_wrong_password_is_refused(self, stack: ComposeStack) -> None:
        wrong = {**stack.conninfo("cn"), "password": "wrong"}
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(make_conninfo(**wrong))
