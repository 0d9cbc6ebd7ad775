"""A drill's summary: the old fields first, nothing measured that was not, and no secret."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from cn_ops.drill import DRILL_PHASES
from cn_ops.model import DrillError, DrillReport, Phase, Status
from cn_ops.report.summary import FIELDS, summary
from cn_ops.report.summary_check import problems

OLD_FIELDS = [
    "executed_at",
    "status",
    "base_url",
    "backup_file",
    "backup_generations",
    "baseline_event_count",
    "after_corruption_event_count",
    "after_restore_event_count",
    "log_path",
]
THEN = ["schema_version", "stack", "scenario", "phases", "rto_seconds", "rows_lost_after_backup", "error", "versions"]

PASSED = DrillReport(
    executed_at=datetime(2026, 11, 24, 3, 0, tzinfo=UTC),
    status=Status.PASSED,
    base_url="http://127.0.0.1:18080",
    backup_file=Path("/backups/node.dump"),
    backup_generations=30,
    baseline_event_count=9,
    after_corruption_event_count=0,
    after_restore_event_count=9,
    log_path=Path("/logs/node.log"),
    stack="embedded",
    scenario="truncated-tables",
    phases=tuple(Phase(name, Status.PASSED, 0.25, "done") for name in DRILL_PHASES),
    rto_seconds=2.5,
    rows_lost_after_backup=0,
    seconds_lost_after_backup=1.5,
    tables_compared=50,
    rows_compared=300,
    overhead_seconds=0.75,
    damage_noticed=40,
    damage_tried=40,
    application_entries_before=9,
    application_entries_after=9,
    error=None,
    versions={"postgres": "17.6"},
    warnings=(),
)
BARELY_BEGUN = replace(
    PASSED,
    status=Status.FAILED,
    backup_file=None,
    baseline_event_count=None,
    after_corruption_event_count=None,
    after_restore_event_count=None,
    rto_seconds=None,
    rows_lost_after_backup=None,
    seconds_lost_after_backup=None,
    tables_compared=None,
    rows_compared=None,
    damage_noticed=None,
    damage_tried=None,
    application_entries_before=None,
    application_entries_after=None,
    phases=(Phase("up", Status.FAILED, 0.5, ""), Phase("seed", Status.NOT_RUN)),
    error=DrillError("up", "no server", "start it", "not known", "", 3),
)


def test_old_fields_come_first_and_in_their_order() -> None:
    assert list(summary(PASSED))[: len(OLD_FIELDS) + len(THEN)] == OLD_FIELDS + THEN


def test_order_survives_a_failure() -> None:
    assert list(summary(BARELY_BEGUN)) == list(summary(PASSED)) == list(FIELDS)


def test_passed_drill_tells_of_a_recovery_and_a_failed_one_does_not() -> None:
    assert problems(json.loads(json.dumps(summary(PASSED)))) == []
    assert problems(json.loads(json.dumps(summary(BARELY_BEGUN))))


def test_time_is_utc_and_paths_are_absolute_texts() -> None:
    document = summary(PASSED)
    assert document["executed_at"] == "2026-11-24T03:00:00Z"
    assert (document["backup_file"], document["log_path"]) == ("/backups/node.dump", "/logs/node.log")


def test_what_was_not_measured_is_null_and_never_zero() -> None:
    document = summary(BARELY_BEGUN)
    nulls = [name for name, value in document.items() if value is None]
    assert nulls == [
        "backup_file",
        "baseline_event_count",
        "after_corruption_event_count",
        "after_restore_event_count",
        "rto_seconds",
        "rows_lost_after_backup",
        "tables_compared",
        "rows_compared",
        "application_entries_before",
        "application_entries_after",
        "seconds_lost_after_backup",
        "damage_noticed",
        "damage_tried",
    ]
    assert document["phases"][1] == {"name": "seed", "status": "not_run", "seconds": None, "detail": ""}


def test_measured_zero_stays_zero() -> None:
    assert summary(PASSED)["after_corruption_event_count"] == 0
    assert summary(PASSED)["rows_lost_after_backup"] == 0


def test_no_secret_is_in_a_summary() -> None:
    secret = "hunter22-and-more"
    leaking = replace(
        BARELY_BEGUN,
        error=DrillError(
            "seed",
            f"`cn --password={secret}` failed",
            f"try postgresql://cn:{secret}@db/cn",
            f"PASSWORD '{secret}'",
            f"password={secret}",
            1,
        ),
        phases=(Phase("up", Status.FAILED, 0.5, f"password={secret}"),),
        warnings=(f"postgresql://cn:{secret}@db/cn was tried",),
    )
    assert secret not in json.dumps(summary(leaking))
