"""A drill's summary: the fields of the old script first, in its order, then ours."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from cn_ops.masking import mask
from cn_ops.model import DrillReport, Phase

SCHEMA_VERSION = 1

# Written once; docs/reference/summary.md is derived from it.
FIELDS: dict[str, str] = {
    "executed_at": "when the drill began, UTC",
    "status": "`passed` or `failed`",
    "base_url": "where the application answered",
    "backup_file": "absolute path of the dump, null when none was made",
    "backup_generations": "how many generations are kept",
    "baseline_event_count": "rows of the counted table in the dump's own snapshot (before there is one: as counted)",
    "after_corruption_event_count": "its rows after the fault: 0 for truncated tables; null where no table was left",
    "after_restore_event_count": "its rows after the restore, counted before a writer ran; must equal the baseline",
    "log_path": "absolute path of the log",
    "schema_version": "version of this summary's fields",
    "stack": "the kind of stack",
    "scenario": "what was damaged",
    "phases": "list of `name`, `status` (passed, failed, skipped, not_run), `seconds` (null: not run), `detail`",
    "rto_seconds": "seconds from the fault to a verified, serving node",
    "rows_lost_after_backup": "rows of the counted table written after the dump's snapshot, and lost",
    "error": "null, or `phase`, `message`, `hint`, `database_state`, `evidence`, `exit_code`",
    "versions": "of cn-ops, Python, the server and pg_dump",
    "tables_compared": "tables whose every value was compared after the restore, null when nothing was",
    "rows_compared": "rows in them",
    "application_entries_before": "entries that the application served before the fault, null when not asked",
    "application_entries_after": "entries that it served after the recovery",
    "seconds_lost_after_backup": "seconds between the dump's snapshot and the fault: what was written then is lost",
    "overhead_seconds": "CPU seconds of cn-ops itself; the rest is the time of tools, server and services",
    "damage_noticed": "kinds of damage that the comparison noticed, null without --prove-detection",
    "damage_tried": "kinds of damage that were tried",
    "warnings": "what a person should know",
}


def summary(report: DrillReport) -> dict[str, Any]:
    """Return a report as the summary's document; what was not measured is null."""
    computed: dict[str, Any] = {
        "executed_at": report.executed_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "backup_file": str(report.backup_file) if report.backup_file else None,
        "log_path": str(report.log_path),
        "schema_version": SCHEMA_VERSION,
        "phases": phase_documents(report.phases),
        "error": _masked(asdict(report.error)) if report.error else None,
        "warnings": _masked(list(report.warnings)),
    }
    return {name: computed.get(name, getattr(report, name, None)) for name in FIELDS}


def phase_documents(phases: tuple[Phase, ...]) -> list[dict[str, Any]]:
    """Return phases as JSON has them."""
    return [
        {"name": one.name, "status": one.status.value, "seconds": one.seconds, "detail": mask(one.detail)}
        for one in phases
    ]


def _masked(value: Any) -> Any:
    """Mask every text on its own: in the finished JSON a mask could swallow a quote."""
    if isinstance(value, dict):
        return {name: _masked(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_masked(one) for one in value]
    return mask(value) if isinstance(value, str) else value
