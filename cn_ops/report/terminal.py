"""Results for people: tables and lines on stdout."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from cn_ops.model import (
    BackupResult,
    Catalogue,
    Decision,
    DrillReport,
    GenerationState,
    Phase,
    RestoreResult,
    StackStatus,
    Status,
)
from cn_ops.report.progress import MARKS
from cn_ops.text import readable_age, readable_bytes, readable_seconds

# The blanks with which rich fills a table's last column, perhaps before the end of a colour.
PADDING = re.compile(r" +((?:\x1b\[[0-9;]*m)*)$", re.MULTILINE)
NOT_MEASURED = "not measured"
NONE_RAN = "none ran before, so none was started: `inv stack.up --no-build` starts the node"


def drill_result(report: DrillReport, summary: Path) -> RenderableType:
    """Return a drill's phases, counts, RTO and where everything is."""
    where = [("summary", summary), ("log", report.log_path), ("dump", report.backup_file)]
    facts = [
        ("RTO", readable_seconds(report.rto_seconds) or NOT_MEASURED),
        ("rows lost", f"{_measured(report.rows_lost_after_backup)} (written after the backup)"),
        *((name, shown(path) if path else "none was made") for name, path in where),
    ]
    parts = (_phase_table(report.phases), _counts(report), _pairs(facts), _verdict(report))
    return Group(*(one for part in parts for one in (Text(), part)))


def backup_result(result: BackupResult) -> RenderableType:
    """Return what a backup made."""
    manifest = result.manifest
    rows = [
        ("generation", manifest.id),
        ("dump", shown(result.dump)),
        (
            "size",
            f"{readable_bytes(manifest.size_bytes)} of a database of {readable_bytes(manifest.database_size_bytes)}",
        ),
        ("rows", f"{manifest.counted_rows} in {manifest.counted_table}"),
        ("took", readable_seconds(manifest.duration_seconds)),
    ]
    removed = [one.generation.id for one in result.decisions if not one.keep]
    return _pairs([*rows, *([("pruned", ", ".join(removed))] if removed else [])])


def restore_result(result: RestoreResult) -> RenderableType:
    """Return what a restore did."""
    rows = "not known: the dump has no manifest"
    if result.restored_rows is not None:
        rows = f"{result.restored_rows} in {result.counted_table}, as in the dump"
    return _pairs(
        [
            ("database", result.database),
            ("restored from", shown(result.source)),
            ("rows", rows),
            ("writers", f"started again: {', '.join(result.restarted)}" if result.restarted else NONE_RAN),
        ]
    )


def catalogue_table(catalogue: Catalogue, now: datetime) -> RenderableType:
    """Return the generations, newest first, and the files that are not ours."""
    parts: list[RenderableType] = []
    if catalogue.generations:
        table = plain_table("generation", ">age", ">size", ">took", "state")
        for one in catalogue.generations:
            manifest = one.manifest
            age = readable_age(now - datetime.fromisoformat(manifest.started_at)) if manifest else ""
            damaged = one.state is GenerationState.DAMAGED
            table.add_row(
                one.id,
                age,
                readable_bytes(manifest.size_bytes) if manifest else "",
                readable_seconds(manifest.duration_seconds) if manifest else "",
                Text(f"{one.state}: {one.problem}" if damaged else str(one.state), style="red" if damaged else ""),
            )
        parts.append(table)
    else:
        parts.append(Text(f"no generation in {shown(catalogue.directory)}: make one with `inv backup`"))
    parts += [
        Text(f"not a generation, left alone: {path.name}", style="yellow", overflow="fold")
        for path in catalogue.foreign
    ]
    return Group(*parts)


def decision_table(decisions: Sequence[Decision], *, dry_run: bool) -> RenderableType:
    """Return what retention decided, each with its reason."""
    if not decisions:
        return Text("no complete generation: nothing to prune")
    table = plain_table("generation", "decision", "reason")
    for one in decisions:
        removed = "would be removed" if dry_run else "removed"
        table.add_row(one.generation.id, "kept" if one.keep else Text(removed, style="yellow"), one.reason)
    return table


def stack_table(status: StackStatus, unfinished: str | None) -> RenderableType:
    """Return a stack's services."""
    table = plain_table("service", "state", "health", "where")
    for one in status.services:
        table.add_row(one.name, "running" if one.running else "stopped", one.health, one.where)
    head = Text(f"{status.name}: {'disposable' if status.disposable else 'not disposable'}, {status.base_url}")
    tail = [Text(f"unfinished: {unfinished}; the next command heals it", style="yellow")] if unfinished else []
    return Group(head, table, *tail)


def shown(path: Path) -> str:
    """Return a path as a person in the current folder would type it."""
    absolute = path.absolute()
    here = Path(os.path.realpath(Path.cwd()))
    for base in (Path.cwd(), here):
        if absolute.is_relative_to(base):
            return str(absolute.relative_to(base))
    return str(absolute)


def fact_lines(document: Mapping[str, object]) -> RenderableType:
    """Return what a dry run found, for people."""
    return _pairs([(_label(name), _fact(name, one)) for name, one in document.items()])


def output(console: Console, *parts: RenderableType) -> None:
    """Print results; a narrow terminal folds them and loses nothing."""
    with console.capture() as captured:
        for part in parts:
            console.print(part, overflow="fold", soft_wrap=False)
    console.file.write(PADDING.sub(r"\1", captured.get()))


def utc_now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


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


def _measured(value: int | None) -> str:
    return NOT_MEASURED if value is None else str(value)


def _label(name: str) -> str:
    return name.replace("size_bytes", "size").replace("bytes", "size").replace("_", " ")


def _fact(name: str, value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    if "_bytes" in name and isinstance(value, int):
        return readable_bytes(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _verdict(report: DrillReport) -> Text:
    if report.status is Status.PASSED:
        return Text(f"passed: the data is back and the application serves it ({report.stack})", style="bold green")
    where = report.error.phase if report.error else "?"
    return Text(f"failed in phase {where!r} ({report.stack})", style="bold red")


def _pairs(rows: Sequence[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(value))
    return table


def plain_table(*columns: str) -> Table:
    """Return a table without borders; a column whose name begins with `>` is aligned to the right."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for name in columns:
        right = name.startswith(">")
        table.add_column(name.removeprefix(">"), justify="right" if right else "left", overflow="fold")
    return table
