"""A fault at the external calls of `inv restore --strategy=recreate`; see rules.py for what must hold."""

from __future__ import annotations

import pytest

from tests.integration.sweep.conftest import Swept
from tests.support.sweep.commands import COMMANDS

SAMPLE = 12


@pytest.mark.timeout(6 * 3600)
def test_no_fault_of_a_recreating_restore_breaks_a_rule_and_the_next_run_ends_well(swept: Swept) -> None:
    swept(COMMANDS["restore recreate"], SAMPLE)
