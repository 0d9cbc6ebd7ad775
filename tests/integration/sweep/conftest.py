"""A site on an embedded stack for each worker; which faults are tried: a sample, or those that `--sweep` names."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.sweep.cases import Command, sweep_command
from tests.support.sweep.site import Site, embedded_site

Swept = Callable[[Command, int], None]


@pytest.fixture(scope="session")
def swept_site(postgres: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all sweeps of this worker."""
    with embedded_site(tmp_path_factory.mktemp("sweep")) as made:
        yield made


@pytest.fixture
def swept(swept_site: Site, pytestconfig: pytest.Config) -> Swept:
    """Try faults of a command, and fail with all rules that were broken."""

    def run(command: Command, count: int) -> None:
        sweep_command(swept_site, command, count, pytestconfig)

    return run
