"""Measure side by side, in turn and repeatedly; write a table, JSON, and with `--docs` the page and its chart."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.measure import Sample
from tests.bench.report import summarised, table, write_docs
from tests.bench.site import Content, Site, fill, site
from tests.bench.ways import Subject, subjects

RESULTS = Path("test-results/bench")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; return the exit code."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended
    if options.docs_only:
        write_docs(options.results)
        return 0
    chosen = [one for one in subjects() if not options.only or one.name in options.only]
    content = Content(options.size, options.tables, options.generations)
    for kind in options.stack or ("embedded", "compose"):
        # A space in the path, as everywhere in the tests.
        with (
            tempfile.TemporaryDirectory(prefix="cn-ops bench ") as folder,
            site(kind, Path(folder, "the node")) as there,
        ):
            _say(f"{kind}: seeding about {content}")
            fill(there, content)
            document = measured(there, chosen, options.rounds, content)
        options.results.mkdir(parents=True, exist_ok=True)
        name = f"{kind}, {content}".replace(",", "").replace(" ", "-").lower()
        (options.results / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")
        print(table(document))  # noqa: T201 - this is a program
    if options.docs:
        write_docs(options.results)
    return 0


def measured(there: Site, chosen: Sequence[Subject], rounds: int, content: Content) -> dict[str, Any]:
    """Measure each way of each subject in turn, and all of that again; the order of ways turns with each round."""
    load = os.getloadavg()[0]
    found: dict[str, dict[str, list[Sample]]] = {one.name: {way: [] for way in one.ways} for one in chosen}
    for number in range(rounds):
        for subject in chosen:
            ways = list(subject.ways)
            # A dump has to be there before it is read: what makes one keeps its place in the first round.
            turn = number % len(ways)
            for way in ways[turn:] + ways[:turn]:
                sample = subject.ways[way](there)
                found[subject.name][way].append(sample)
                _say(f"{there.kind} round {number + 1} of {rounds}: {subject.name}, {way}: {sample.seconds:.2f} s")
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "stack": there.kind,
        "database_bytes": there.size(),
        "tables": content.tables,
        "generations": content.generations,
        "rounds": rounds,
        "server_version": there.sql("SHOW server_version")[0][0],
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "load_before": load,
        "subjects": {
            name: {way: summarised(samples) for way, samples in ways.items()} for name, ways in found.items()
        },
        "samples": {
            name: {way: [asdict(one) for one in samples] for way, samples in ways.items()}
            for name, ways in found.items()
        },
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nox -s bench --", description=__doc__)
    parser.add_argument("--stack", action="append", choices=("embedded", "compose"), help="which (both)")
    parser.add_argument("--size", type=int, default=100, help="megabytes of the database (100)")
    parser.add_argument("--tables", type=int, default=0, help="how many small tables beside (0)")
    parser.add_argument("--generations", type=int, default=0, help="how many generations in the catalogue (0)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (5)")
    parser.add_argument("--only", action="append", help="a subject's name; may be given several times (all)")
    parser.add_argument("--results", type=Path, default=RESULTS, help=f"folder of the JSON ({RESULTS})")
    parser.add_argument("--docs", action="store_true", help="write docs/performance.md and its chart afterwards")
    parser.add_argument("--docs-only", action="store_true", help="write them from the JSON that is there")
    return parser


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is a program


if __name__ == "__main__":
    raise SystemExit(main())
