"""The summary's contract: what CI asserts of a drill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cn_ops.drill import DRILL_PHASES
from cn_ops.report.summary import FIELDS as WRITTEN
from cn_ops.report.summary_check import NEW_RULES, OLD_RULES, PROVING_PHASES, main, problems

FIELDS = [rule.field for rule in OLD_RULES + NEW_RULES]


def passed() -> dict[str, Any]:
    return {
        "executed_at": "2026-11-24T03:00:00+00:00",
        "status": "passed",
        "base_url": "http://127.0.0.1:18080",
        "backup_file": "/srv/node/test-results/community-node-pgdump-20261124-030001.dump",
        "backup_generations": 30,
        "baseline_event_count": 9,
        "after_corruption_event_count": 0,
        "after_restore_event_count": 9,
        "log_path": "/srv/node/tmp/logs/community-node-recovery/20261124-030000.log",
        "schema_version": 1,
        "stack": "embedded",
        "scenario": "truncate",
        "phases": [
            {"name": "seed", "status": "skipped", "seconds": None},
            {"name": "fault", "status": "passed", "seconds": 0},
            {"name": "restore", "status": "passed", "seconds": 0.4, "detail": "9 rows"},
            {"name": "verify", "status": "passed", "seconds": 0.1},
        ],
        "rto_seconds": 1.9,
        "rows_lost_after_backup": 0,
        "error": None,
        "versions": {"cn_ops": "0.1.0", "postgres": "18.1", "docker": None},
        "tables_compared": 28,
        "damage_noticed": 43,
        "damage_tried": 43,
    }


def test_passed_drill_has_no_problem() -> None:
    assert problems(passed()) == []


def test_fields_after_the_known_ones_are_welcome() -> None:
    assert problems(passed() | {"rpo_seconds": 3.0}) == []


@pytest.mark.parametrize("field", FIELDS)
def test_missing_field_is_named(field: str) -> None:
    summary = passed()
    del summary[field]
    assert any(line.startswith(f"{field}: is missing") for line in problems(summary))


@pytest.mark.parametrize("field", [field for field in FIELDS if field != "error"])
def test_what_was_not_measured_never_passes(field: str) -> None:
    found = problems(passed() | {field: None})
    assert any(line.startswith(f"{field}: must be ") and "is null" in line for line in found)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("executed_at", "yesterday"),
        ("executed_at", "2026-11-24T03:00:00"),
        ("status", "failed"),
        ("status", "PASSED"),
        ("status", True),
        ("base_url", "127.0.0.1:18080"),
        ("backup_file", ""),
        ("backup_file", "test-results/x.dump"),
        ("backup_generations", 0),
        ("backup_generations", "30"),
        ("baseline_event_count", 0),
        ("baseline_event_count", True),
        ("baseline_event_count", "9"),
        ("baseline_event_count", 9.0),
        ("after_corruption_event_count", 1),
        ("after_corruption_event_count", False),
        ("after_restore_event_count", 8),
        ("after_restore_event_count", 10),
        ("log_path", "tmp/logs/x.log"),
        ("schema_version", "1"),
        ("stack", " "),
        ("scenario", 3),
        ("phases", []),
        ("phases", {}),
        ("phases", ["restore"]),
        ("phases", [{"status": "passed", "seconds": 1}]),
        ("rto_seconds", 0),
        ("rto_seconds", "1.9"),
        ("rows_lost_after_backup", -1),
        ("rows_lost_after_backup", 0.5),
        ("error", {"phase": "restore", "message": "no"}),
        ("error", ""),
        ("versions", {}),
        ("versions", {"postgres": 18}),
    ],
)
def test_wrong_value_is_named(field: str, value: object) -> None:
    found = problems(passed() | {field: value})
    assert found
    assert all(field in line for line in found)


@pytest.mark.parametrize("name", PROVING_PHASES)
@pytest.mark.parametrize(
    "changed",
    [
        {"status": "failed"},
        {"status": "not_run", "seconds": None},
        {"status": "skipped", "seconds": None},
        {"seconds": None},
        {"seconds": -1},
        {"seconds": "0.4"},
        {"name": ""},
        {"name": "another"},
    ],
)
def test_phase_that_proves_something_must_have_passed_and_been_timed(name: str, changed: dict[str, Any]) -> None:
    phases = [phase | changed if phase["name"] == name else phase for phase in passed()["phases"]]
    assert problems(passed() | {"phases": phases}) != []


def test_contract_is_of_what_a_drill_writes() -> None:
    assert list(WRITTEN)[: len(FIELDS)] == FIELDS
    assert set(PROVING_PHASES) <= set(DRILL_PHASES)


def test_all_problems_are_told_at_once() -> None:
    found = problems(passed() | {"status": "failed", "after_restore_event_count": None, "rto_seconds": None})
    assert [line.split(":")[0] for line in found] == [
        "status",
        "after_restore_event_count",
        "rto_seconds",
        "after_restore_event_count",
    ]


@given(st.permutations(FIELDS))
def test_order_of_the_fields_is_part_of_the_contract(order: list[str]) -> None:
    summary = passed()
    found = problems({field: summary[field] for field in order})
    assert (found == []) == (order == FIELDS)


def test_something_between_the_old_fields_is_a_problem() -> None:
    summary = passed()
    assert problems({"schema_version": summary.pop("schema_version"), **summary}) != []


def test_file_of_a_passed_drill_exits_0_and_says_what_came_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "latest summary.json"
    file.write_text(json.dumps(passed()))
    assert main([str(file), "--stack=embedded"]) == 0
    assert "recovered 9 of 9 rows on embedded in 1.9 s" in capsys.readouterr().out


def test_drill_on_another_stack_exits_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "latest-summary.json"
    file.write_text(json.dumps(passed()))
    assert main([str(file), "--stack=compose"]) == 4
    assert 'stack: must be "compose", is "embedded"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (json.dumps(passed() | {"status": "failed"}), 4, 'status: must be "passed", is "failed"'),
        ("{", 4, "is not JSON"),
        ("", 4, "is not JSON"),
        ("[]", 4, "is not a JSON object"),
        (None, 2, "cannot read"),
    ],
)
def test_file_that_does_not_tell_of_a_recovery_is_refused(
    content: str | None, code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "latest-summary.json"
    if content is not None:
        file.write_text(content)
    assert main([str(file)]) == code
    shown = capsys.readouterr()
    assert said in shown.err
    assert str(file) in shown.err
    assert shown.out == ""
