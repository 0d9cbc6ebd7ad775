"""The compose stack keeps the contract of every stack."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from cn_ops.errors import OperationFailed
from cn_ops.stack.compose import ComposeStack
from tests.e2e.commands.node import docker
from tests.support.processes import wait_until
from tests.support.stack_contract import StackContract
from tests.support.stacks import POSTGRES


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

    def test_server_that_the_engine_has_started_again_is_found_at_its_new_port(self, stack: ComposeStack) -> None:
        assert POSTGRES in stack.running()
        container = stack._containers()[POSTGRES]
        docker("restart", "--time", "5", container.id)
        wait_until(lambda: stack._server.accepts_connections(5), 60)
        with psycopg.connect(make_conninfo(**stack.conninfo("cn"), connect_timeout="10")) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)

    def test_scratch_server_whose_container_ends_is_told_at_once(self, stack: ComposeStack) -> None:
        with stack.scratch() as scratch:
            docker(
                "rm",
                "--force",
                "--volumes",
                *docker("ps", "-q", f"--filter=label=cn-ops.scratch={stack.name}").split(),
            )
            with pytest.raises(OperationFailed, match="container has ended") as failed:
                scratch.start_postgres()
            assert failed.value.hint
            with pytest.raises(OperationFailed, match="container has ended"):
                scratch.tool(["pg_restore", "--version"])

    def test_tools_of_a_scratch_server_can_be_used_before_it_is_up(self, stack: ComposeStack) -> None:
        with stack.scratch() as scratch:
            assert "pg_restore" in scratch.tool(["pg_restore", "--version"]).stdout
            scratch.start_postgres()
            with psycopg.connect(make_conninfo(**scratch.conninfo("postgres"))) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
