"""Every fault that a drill can do is recovered from, on a node that runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from cn_ops.drill import drill
from cn_ops.drill_phases import DrillOptions
from cn_ops.faults import LATE_ROWS, SCENARIOS
from cn_ops.model import DrillReport, Status
from cn_ops.names import Beside
from tests.support.nodes import LEDGER_SERVER, LEDGER_WRITERS, Node, ledger_settings, node
from tests.support.operations import beside_it

GONE = {"dropped-table", "dropped-schema", "dropped-database", "lost-volume"}


@pytest.fixture(scope="module")
def ledger(postgres: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node that goes on running from one drill to the next."""
    with node(tmp_path_factory.mktemp("scenarios") / "a node", ledger_settings()) as made:
        yield made


def drilled(site: Node, scenario: str) -> DrillReport:
    log = site.folder / "drill.log"
    with site.operation("drill") as operation:
        options = DrillOptions(build=False, keep=True)
        return drill(operation, SCENARIOS[scenario], options, datetime.now(UTC), log)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_node_is_recovered_from(scenario: str, ledger: Node) -> None:
    report = drilled(ledger, scenario)
    assert report.error is None
    assert report.status is Status.PASSED
    assert {one.name: one.status for one in report.phases if one.status is not Status.PASSED} == {}
    assert report.tables_compared == 2
    assert report.after_restore_event_count == report.baseline_event_count == 9
    assert (report.after_corruption_event_count is None) is (scenario in GONE)
    assert report.rows_lost_after_backup == (LATE_ROWS if scenario == "late-writes" else 0)
    assert report.seconds_lost_after_backup
    assert ledger.rows("SELECT count(*), sum(amount)::text FROM ledger.entries") == [(9, "49.50")]
    assert ledger.journal is None
    assert set(ledger.stack.running()) == {LEDGER_SERVER, *LEDGER_WRITERS}
    assert beside_it(ledger, Beside.INCOMING) == beside_it(ledger, Beside.SCRATCH) == ()


def test_scenarios_have_names_and_summaries_of_their_own() -> None:
    assert len({one.summary for one in SCENARIOS.values()}) == len(SCENARIOS) >= 10
    assert all(name == one.name for name, one in SCENARIOS.items())
