"""Every fault and trouble that a drill can make is recovered from; what cannot be tried says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cn_ops.faults import SCENARIOS
from cn_ops.postgres.session import session
from cn_ops.small_disk import small_disk, why_none
from tests.support.nodes import LEDGER_SERVER, LEDGER_WRITERS, Node, ledger_settings, node

TROUBLES = {"killed-dumping", "killed-restoring", "full-dumping", "full-restoring"}
GONE = {"dropped-table", "dropped-schema", "dropped-database", "lost-volume"}
# The drill that is killed takes many processes: tests/e2e/commands/test_killed_phases.py has it.
IN_ONE_PROCESS = [name for name, one in SCENARIOS.items() if not one.is_killed]


@pytest.fixture(scope="module")
def ledger(postgres: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node that goes on running from one drill to the next."""
    with node(tmp_path_factory.mktemp("scenarios") / "a ledger", ledger_settings()) as made:
        made.ok("stack.up")
        yield made


@pytest.mark.parametrize("scenario", IN_ONE_PROCESS)
def test_node_is_recovered_exactly_and_nothing_is_left(scenario: str, ledger: Node) -> None:
    if scenario.startswith("full") and (reason := why_none()):
        pytest.skip(reason)
    before = ledger.backup_files()
    summary = ledger.json("drill", f"--scenario={scenario}")
    assert summary["status"] == "passed"
    assert {one["name"]: one["status"] for one in summary["phases"] if one["status"] != "passed"} == {}
    assert summary["tables_compared"] == 2
    assert summary["after_restore_event_count"] == summary["baseline_event_count"]
    seeded = 9
    # The writer that goes on may have written some before the snapshot.
    assert summary["baseline_event_count"] >= seeded
    assert scenario == "late-writes" or summary["baseline_event_count"] == seeded
    assert (summary["after_corruption_event_count"] is None) is (scenario in GONE)
    assert summary["seconds_lost_after_backup"] > 0
    lost = summary["rows_lost_after_backup"]
    assert lost > 1 if scenario == "late-writes" else lost == 0
    log = Path(summary["log_path"]).read_text()
    assert ("failed, as it must" in log) is (scenario in TROUBLES)
    assert ("No space left on device" in log) is scenario.startswith("full")

    new = {name for name in ledger.backup_files() - before if name.endswith(".manifest.json")}
    assert len(new) == 1, "a backup that failed, or was broken, has left something"
    databases = ledger.rows("SELECT datname FROM pg_database WHERE datname LIKE '%\\_\\_%'", "postgres")
    assert databases == []
    assert ledger.journal is None
    assert set(ledger.stack.running()) == {LEDGER_SERVER, *LEDGER_WRITERS}


def test_scenarios_have_names_and_summaries_of_their_own() -> None:
    assert len({one.summary for one in SCENARIOS.values()}) == len(SCENARIOS) >= 10
    assert all(name == one.name for name, one in SCENARIOS.items())


def test_what_cannot_be_tried_is_skipped_with_its_reason_and_is_no_pass(ledger: Node) -> None:
    ledger.change({"restore": {"strategy": "recreate"}})
    try:
        refused = ledger.run("drill", "--scenario=killed-restoring", "--json")
    finally:
        ledger.change({"restore": {"strategy": "beside"}})
    assert refused.returncode == 3
    assert "cannot be tried here: restore.strategy" in json.loads(refused.stdout)["error"]["message"]


def test_small_disk_has_room_for_no_more_than_it_should_and_is_gone_afterwards(tmp_path: Path) -> None:
    if reason := why_none():
        pytest.skip(reason)
    folder = tmp_path / "a disk"
    with small_disk(folder, 5000) as disk:
        (disk / "a file").write_bytes(bytes(8192))
        with pytest.raises(OSError, match="No space left"):
            (disk / "another").write_bytes(bytes(8192))
    assert not folder.exists()


def test_killed_server_comes_back_with_its_data(ledger: Node) -> None:
    ledger.rows("CREATE TABLE IF NOT EXISTS ledger.kept (n int); INSERT INTO ledger.kept VALUES (1)")
    with session(ledger.stack, ledger.database):
        ledger.stack.kill_server()
        assert ledger.settings.stack.postgres.service not in ledger.stack.running()
        ledger.stack.start_postgres()
        assert ledger.rows("SELECT n FROM ledger.kept") == [(1,)]
    ledger.rows("DROP TABLE ledger.kept")
