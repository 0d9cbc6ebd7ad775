"""A fault at the external calls of a command, on docker compose; tests.support.sweep.rules says what must hold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.sweep.cases import sweep_command
from tests.support.sweep.commands import COMMANDS
from tests.support.sweep.site import Site, compose_site

SAMPLE = 3


@pytest.fixture(scope="session")
def swept_site(docker: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all sweeps of this worker."""
    with compose_site(tmp_path_factory.mktemp("sweep")) as made:
        yield made


@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_fault_breaks_a_rule_and_the_next_run_ends_well(
    command: str, swept_site: Site, pytestconfig: pytest.Config
) -> None:
    sweep_command(swept_site, COMMANDS[command], SAMPLE, pytestconfig)
