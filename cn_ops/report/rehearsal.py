"""A drill's result for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cn_ops.model import DrillReport, Phase, Status
from cn_ops.report.progress import MARKS
from cn_ops.report.terminal import pairs, plain_table, shown
from cn_ops.text import readable_seconds

NOT_MEASURED = "not measured"


def drill_result(report: DrillReport, summary: Path) -> RenderableType:
    """Return a drill's phases, counts, RTO and where everything is."""
    where = [("summary", summary), ("log", report.log_path), ("dump", report.backup_file)]
    facts = [
        ("RTO", readable_seconds(report.rto_seconds) or NOT_MEASURED),
        ("rows lost", _lost(report)),
        ("compared", _compared(report)),
        ("overhead", _overhead(report)),
        *((name, shown(path) if path else "none was made") for name, path in where),
    ]
    parts = (_phase_table(report.phases), _counts(report), pairs(facts), _verdict(report))
    return Group(*(one for part in parts for one in (Text(), part)))


def scenario_table(reports: Sequence[DrillReport]) -> RenderableType:
    """Return which failures this deployment survives."""
    columns = ("scenario", "result", ">RTO", ">rows lost")
    table = plain_table(*columns, *(["why not"] if any(one.status is not Status.PASSED for one in reports) else []))
    for one in reports:
        mark, style = MARKS[one.status]
        lost = "" if one.rows_lost_after_backup is None else str(one.rows_lost_after_backup)
        why = f"{one.error.phase}: {one.error.message}" if one.error else ""
        why = " ".join(one.warnings) if one.status is Status.SKIPPED else why
        row = (one.scenario, Text(f"{mark} {one.status}", style=style), readable_seconds(one.rto_seconds), lost)
        table.add_row(*row, *([why] if len(table.columns) > len(columns) else []))
    survived, skipped = (sum(one.status is status for one in reports) for status in (Status.PASSED, Status.SKIPPED))
    tried = len(reports) - skipped
    left = f"; {skipped} could not be tried here" if skipped else ""
    style = "bold green" if 0 < survived == tried else "bold red"
    return Group(table, Text(), Text(f"survived {survived} of {tried}{left}", style=style))


def _phase_table(phases: Sequence[Phase]) -> Table:
    """Return how each phase ended; what it said meanwhile was told as it happened, but for why one was skipped."""
    table = plain_table("phase", "result", ">seconds", "")
    for one in phases:
        mark, style = MARKS[one.status]
        seconds = "" if one.seconds is None else f"{one.seconds:.2f}"
        note = "" if one.status is Status.PASSED else one.detail
        table.add_row(one.name, Text(f"{mark} {one.status.replace('_', ' ')}", style=style), seconds, Text(note))
    return table


def _counts(report: DrillReport) -> Table:
    table = plain_table("", ">before", ">damaged", ">after")
    rows = (report.baseline_event_count, report.after_corruption_event_count, report.after_restore_event_count)
    table.add_row(Text("rows", style="bold"), *map(_measured, rows))
    before, after = report.application_entries_before, report.application_entries_after
    # Damaged, it is not asked: the writers, which serve, are stopped by then.
    table.add_row(Text("served", style="bold"), _measured(before), "–", _measured(after))
    return table


def _lost(report: DrillReport) -> str:
    window = readable_seconds(report.seconds_lost_after_backup)
    since = f", in the {window} before the fault" if window else ""
    return f"{_measured(report.rows_lost_after_backup)} (written after the backup{since})"


def _compared(report: DrillReport) -> str:
    if report.tables_compared is None:
        return NOT_MEASURED
    tried = (
        f"; {report.damage_noticed} of {report.damage_tried} kinds of damage noticed" if report.damage_tried else ""
    )
    return f"{report.rows_compared} rows in {report.tables_compared} tables, and the schema{tried}"


def _overhead(report: DrillReport) -> str:
    took = sum(one.seconds or 0 for one in report.phases)
    return f"{report.overhead_seconds:.2f} s of cn-ops itself, beside {took:.2f} s for all phases"


def _verdict(report: DrillReport) -> Text:
    if report.status is Status.PASSED:
        asked = report.application_entries_after is not None
        served = " and the application serves it" if asked else "; the application was not asked"
        return Text(f"passed: the data is back{served} ({report.stack})", style="bold green")
    where = report.error.phase if report.error else "?"
    return Text(f"failed in phase {where!r} ({report.stack})", style="bold red")


def _measured(value: int | None) -> str:
    return NOT_MEASURED if value is None else str(value)
