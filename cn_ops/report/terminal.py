"""Results for people: tables and lines on stdout."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from cn_ops.fingerprint import Comparison
from cn_ops.model import (
    BackupResult,
    Catalogue,
    Decision,
    Generation,
    GenerationState,
    RestoreResult,
    StackStatus,
    VerifyResult,
)
from cn_ops.report.words import Words
from cn_ops.text import readable_age, readable_bytes, readable_seconds

# The blanks with which rich fills a table's last column, perhaps before the end of a colour.
PADDING = re.compile(r" +((?:\x1b\[[0-9;]*m)*)$", re.MULTILINE)
KEPT = "`inv restore --undo` swaps it back, `inv restore --finish` drops it"
NONE_RAN = "none ran before, so none was started: `inv stack.up --no-build` starts the node"


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
        ("rows", f"{manifest.rows}, of them {manifest.counted_rows} in {manifest.counted_table}"),
        ("took", readable_seconds(manifest.duration_seconds)),
    ]
    removed = [one.generation.id for one in result.decisions if not one.keep]
    return pairs([*rows, *([("pruned", ", ".join(removed))] if removed else [])])


def restore_result(result: RestoreResult, *, ours: bool = True) -> RenderableType:
    """Return what a restore did; ``ours`` says that cn-ops can start the node."""
    rows = "not known: the dump has no manifest"
    not_started = NONE_RAN if ours else "none was stopped, so none was started"
    if result.rows is not None:
        rows = f"{result.rows} in {result.tables} tables: every value and the schema are as in the dump"
    facts = [
        ("database", result.database),
        ("restored from", shown(result.source)),
        ("rows", rows),
        *([("left out", ", ".join(result.stripped))] if result.stripped else []),
        ("writers", f"started again: {', '.join(result.restarted)}" if result.restarted else not_started),
        *([("kept", f"{result.previous}, the old one: {KEPT}")] if result.previous else []),
    ]
    return pairs(facts)


def verify_results(results: Sequence[VerifyResult]) -> RenderableType:
    """Return which generations were proven."""
    if not results:
        return Text("no generation to verify")
    table = plain_table("generation", "result", ">took", ">tables", ">rows")
    for one in results:
        proof = one.proof
        seconds = readable_seconds(proof.duration_seconds)
        table.add_row(one.generation.id, Text("proven", style="green"), seconds, str(proof.tables), str(proof.rows))
    left_out = [Text(f"{one.generation.id}, left out: {what}") for one in results for what in one.stripped]
    return Group(table, *left_out)


def comparison_result(comparison: Comparison) -> RenderableType:
    """Return every difference, or that there is none."""
    if comparison.equal:
        return Text(f"equal: {comparison.tables} tables, {comparison.rows} rows, the schema", style="green")
    parts: list[RenderableType] = []
    for one in comparison.differences:
        parts.append(Words(Text(f"differs: {one.what}", "bold red")))
        parts.append(pairs([("  expected", one.expected), ("  found", one.found)]))
    count = len(comparison.differences)
    return Group(*parts, Text(f"{count} difference{'s' if count > 1 else ''}", style="bold red"))


def catalogue_table(catalogue: Catalogue, now: datetime) -> RenderableType:
    """Return the generations, newest first, and the files that are not ours."""
    parts: list[RenderableType] = []
    if catalogue.generations:
        table = plain_table("generation", ">age", ">size", ">took", "state")
        for one in catalogue.generations:
            manifest = one.manifest
            age = readable_age(now - datetime.fromisoformat(manifest.started_at)) if manifest else ""
            table.add_row(
                one.id,
                age,
                readable_bytes(manifest.size_bytes) if manifest else "",
                readable_seconds(manifest.duration_seconds) if manifest else "",
                _state(one),
            )
        parts.append(table)
    else:
        parts.append(Words(Text(f"no generation in {shown(catalogue.directory)}: make one with `inv backup`")))
    parts += [Words(Text(f"not a generation, left alone: {path.name}", "yellow")) for path in catalogue.foreign]
    return Group(*parts)


def _state(generation: Generation) -> Text:
    if generation.state is GenerationState.DAMAGED:
        return Text(f"{generation.state}: {generation.problem}", style="red")
    if generation.proof is not None:
        return Text(f"{generation.state} {generation.proof.proven_at[:10]}", style="green")
    return Text(str(generation.state))


def decision_table(decisions: Sequence[Decision], *, dry_run: bool) -> RenderableType:
    """Return what retention decided, each with its reason."""
    if not decisions:
        return Text("no complete generation: nothing to prune")
    table = plain_table("generation", "decision", "reason")
    for one in decisions:
        removed = "would be removed" if dry_run else "removed"
        table.add_row(one.generation.id, "kept" if one.keep else Text(removed, style="yellow"), one.reason)
    return table


def stack_table(status: StackStatus, unfinished: str | None, heals: str = "") -> RenderableType:
    """Return a stack's services, and below them what is unfinished and what becomes of it."""
    table = plain_table("service", "state", "health", "where")
    for one in status.services:
        table.add_row(one.name, "running" if one.running else "stopped", one.health, one.where)
    head = Text(f"{status.name}: {'disposable' if status.disposable else 'not disposable'}")
    head.append(f", {status.base_url}" if status.base_url else "")
    tail = [Words(Text(f"unfinished: {unfinished}; {heals}", "yellow"))] if unfinished else []
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
    return pairs([(_label(name), _fact(name, one)) for name, one in document.items()])


def output(console: Console, *parts: RenderableType) -> None:
    """Print results; a narrow terminal folds them and loses nothing."""
    with console.capture() as captured:
        for part in parts:
            console.print(part, overflow="fold", crop=False)
    console.file.write(PADDING.sub(r"\1", captured.get()))


def utc_now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


def _label(name: str) -> str:
    # One word in the document, and a sentence for people.
    name = {"incoming": "restored first as"}.get(name, name)
    return name.replace("size_bytes", "size").replace("bytes", "size").replace("_", " ")


def _fact(name: str, value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    if "_bytes" in name and isinstance(value, int):
        return readable_bytes(value)
    if "_bytes" in name and value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def pairs(rows: Sequence[tuple[str, str]]) -> Group:
    """Return names and values, without borders."""
    width = max((cell_len(name) for name, _ in rows), default=0) + 2
    return Group(*(Words(Text(value), Text(f"{name:<{width}}", "bold")) for name, value in rows))


def plain_table(*columns: str) -> Table:
    """Return a table without borders; a column whose name begins with `>` is aligned to the right."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for name in columns:
        right = name.startswith(">")
        table.add_column(name.removeprefix(">"), justify="right" if right else "left", overflow="fold")
    return table
