"""What was measured, as a table, and as docs/performance.md with its chart: written from the JSON alone."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from tests.bench.measure import Sample
from tests.support.leftovers import CHECKOUT

DOCS = CHECKOUT / "docs"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
HEAD = ("way", "median s", "spread s", "against the first", "CPU s here", "CPU s server", "peak MB", "MB out")
BAR_HEIGHT, BAR_WIDTH, LABEL_WIDTH = 18, 420, 250


def summarised(samples: Sequence[Sample]) -> dict[str, Any]:
    """Return medians and spread of one way's samples."""
    seconds = [one.seconds for one in samples]
    names = {name for one in samples for name in one.parts}
    outs = [one.bytes_out for one in samples if one.bytes_out is not None]
    return {
        "median_seconds": round(statistics.median(seconds), 3),
        "least_seconds": round(min(seconds), 3),
        "most_seconds": round(max(seconds), 3),
        "cpu_seconds": round(statistics.median(one.cpu_seconds for one in samples), 3),
        "server_cpu_seconds": round(statistics.median(one.server_cpu_seconds for one in samples), 3),
        "peak_bytes": max(one.peak_bytes for one in samples),
        "bytes_out": round(statistics.median(outs)) if outs else None,
        "phases": {
            name: round(statistics.median(one.parts[name] for one in samples if name in one.parts), 3)
            for name in sorted(names)
        },
    }


def table(document: dict[str, Any]) -> str:
    """Return a run as a Markdown table for each subject."""
    lines = [f"### {_title(document)}, PostgreSQL {document['server_version']}", ""]
    rounds = document["rounds"]
    lines.append(
        f"{rounds} round{'s' if rounds > 1 else ''} on {document['cores']} cores ({document['machine']}), "
        f"{document['measured_at']}; load of the machine before: {document['load_before']:.1f}."
    )
    for name, ways in document["subjects"].items():
        lines += [
            "",
            f"#### {_title(document)}: {name}",
            "",
            f"| {' | '.join(HEAD)} |",
            f"|{' --- |' * len(HEAD)}",
        ]
        first = next(iter(ways.values()))["median_seconds"]
        lines += [f"| {' | '.join(_row(way, one, first))} |" for way, one in ways.items()]
    return "\n".join(lines) + "\n"


def chart(documents: Sequence[dict[str, Any]]) -> str:
    """Return an SVG with a bar for each way; bars of one document are on one scale."""
    bars: list[str] = []
    for document in documents:
        rows = [
            (f"{name}: {way}", float(one["median_seconds"]))
            for name, ways in document["subjects"].items()
            for way, one in ways.items()
        ]
        longest = max((seconds for _, seconds in rows), default=1.0)
        for text, seconds in ((_title(document), None), *rows):
            bars.append(_bar(len(bars), text, seconds, longest))
    height = BAR_HEIGHT * (len(bars) + 1)
    width = LABEL_WIDTH + BAR_WIDTH + 70
    drawn = "\n".join(bars)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">\n'
        f"<title>Seconds, medians: shorter is better</title>\n"
        f'<rect width="{width}" height="{height}" fill="#fff"/>\n{drawn}\n</svg>\n'
    )


def write_docs(results: Path) -> None:
    """Write the page's tables, between its marks, and its chart."""
    documents = [json.loads(path.read_text()) for path in results.glob("*.json")]
    documents.sort(key=lambda one: (one["stack"], one["database_bytes"], _title(one)))
    page = DOCS / "performance.md"
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    tables = "\n".join(table(one) for one in documents)
    page.write_text(f"{before}{BEGIN}\n\n{tables}\n{END}{after}", encoding="utf-8")
    (DOCS / "images" / "performance.svg").write_text(chart(documents), encoding="utf-8")


def _title(document: dict[str, Any]) -> str:
    more = [f"{document[kind]:,} {kind}" for kind in ("tables", "generations") if document[kind]]
    return ", ".join([document["stack"], f"{document['database_bytes'] / 1e6:.0f} MB", *more])


def _row(way: str, one: dict[str, Any], first: float) -> tuple[str, ...]:
    out = one["bytes_out"]
    seconds = one["median_seconds"]
    return (
        way,
        f"{seconds:.2f}",
        f"{one['least_seconds']:.2f}–{one['most_seconds']:.2f}",
        f"{first / seconds:.2f} times as fast" if seconds else "–",
        f"{one['cpu_seconds']:.2f}",
        f"{one['server_cpu_seconds']:.2f}",
        f"{one['peak_bytes'] / 1e6:.0f}" if one["peak_bytes"] else "–",
        f"{out / 1e6:.1f}" if out else "–",
    )


def _bar(number: int, text: str, seconds: float | None, longest: float) -> str:
    top = BAR_HEIGHT * number + 6
    if seconds is None:
        return f'<text x="4" y="{top + 11}" font-weight="bold">{escape(text)}</text>'
    length = max(1.0, seconds / longest * BAR_WIDTH)
    fill = "#2b7a4b" if "cn-ops" in text else "#9aa0a6"
    return (
        f'<text x="{LABEL_WIDTH - 6}" y="{top + 11}" text-anchor="end">{escape(text)}</text>'
        f'<rect x="{LABEL_WIDTH}" y="{top + 1}" width="{length:.1f}" height="{BAR_HEIGHT - 5}" fill="{fill}"/>'
        f'<text x="{LABEL_WIDTH + length + 4:.1f}" y="{top + 11}">{seconds:.2f}</text>'
    )
