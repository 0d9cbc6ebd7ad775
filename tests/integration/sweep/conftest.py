"""A site for each worker, and which faults are tried: a sample, or all with `--sweep=all`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import pytest

from tests.integration.sweep.cases import Command, cases, sample, sweep
from tests.integration.sweep.site import Site, site

Swept = Callable[[Command, int], None]


@pytest.fixture(scope="session")
def swept_site(postgres: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all sweeps of this worker."""
    with site(tmp_path_factory.mktemp("sweep")) as made:
        yield made


@pytest.fixture
def swept(swept_site: Site, pytestconfig: pytest.Config) -> Swept:
    """Try faults of a command, and fail with all rules that were broken."""

    def run(command: Command, count: int) -> None:
        swept_site.begin(drifted=command.drifted)
        clean = swept_site.run(command.argv)
        assert clean.code == 0, clean.text
        every = cases(clean.positions)
        seed = int(pytestconfig.getoption("randomly_seed", 0))
        tried = every if pytestconfig.getoption("sweep") == "all" else sample(every, count, seed)
        outcome = sweep(swept_site, command, tried)
        found = f"{len(clean.positions)} positions, {len(every)} faults, {outcome.tried} tried"
        sys.stdout.write(f"{found}: {dict(sorted(outcome.codes.items()))}\n")
        assert outcome.tried >= min(count, len(every))
        assert not outcome.failures, f"seed {seed}:\n" + "\n".join(outcome.failures)

    return run
