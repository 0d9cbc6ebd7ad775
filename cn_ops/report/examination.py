"""What `inv doctor` found, for people and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cn_ops.model import Finding, Level, PresetTime
from cn_ops.report.terminal import plain_table
from cn_ops.text import readable_bytes, readable_seconds

MARKS = {Level.OK: ("✓", "green"), Level.NOTE: ("!", "yellow"), Level.PROBLEM: ("✗", "bold red")}


def doctor_document(findings: Sequence[Finding], measured: Sequence[PresetTime], best: str) -> dict[str, Any]:
    """Return what was found; ``recommended_preset`` is null when nothing was measured."""
    return {
        "findings": [asdict(one) for one in findings],
        "measured": [asdict(one) for one in measured],
        "recommended_preset": best or None,
    }


def doctor_result(findings: Sequence[Finding], measured: Sequence[PresetTime], best: str) -> RenderableType:
    """Return what was found, what to do about it, and which preset to use."""
    problems = sum(one.level is Level.PROBLEM for one in findings)
    verdict = Text("no problem was found", style="bold green")
    if problems:
        verdict = Text(f"{problems} problem{'s' if problems > 1 else ''}", style="bold red")
    return Group(_findings(findings), *(_measured(measured, best) if measured else ()), Text(), verdict)


def _findings(findings: Sequence[Finding]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for one in findings:
        mark, style = MARKS[one.level]
        detail = Text(one.detail)
        if one.hint:
            detail.append(f"\n→ {one.hint}", style="dim")
        table.add_row(Text(mark, style=style), one.subject, detail)
    return table


def _measured(measured: Sequence[PresetTime], best: str) -> tuple[RenderableType, ...]:
    table = plain_table("preset", ">seconds", ">size", "pg_dump")
    for one in measured:
        table.add_row(one.preset, readable_seconds(one.seconds), readable_bytes(one.size_bytes), " ".join(one.flags))
    advice = Text.assemble(
        "recommended here: ", (f"backup.preset: {best}", "bold"), f" (`inv backup --preset={best}`)"
    )
    return Text(), table, Text(), advice
