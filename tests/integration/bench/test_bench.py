"""The harness of `nox -s bench` measures what it says, and the page is made from its JSON alone. Nothing is timed."""

from __future__ import annotations

import json
import os
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.bench import report
from tests.bench.__main__ import main
from tests.bench.measure import run


@pytest.fixture
def results(postgres: None, tmp_path: Path) -> Path:
    """A run on the smallest database there is."""
    folder = tmp_path / "the results"
    chosen = ["--only=backup", "--only=restore", "--only=start-up"]
    assert main(["--stack=embedded", "--size=1", "--rounds=1", f"--results={folder}", *chosen]) == 0
    return folder


def test_every_way_is_measured_and_written(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file,) = results.glob("*.json")
    document = json.loads(file.read_text())
    assert (file.name, document["stack"], document["rounds"]) == ("embedded-1-mb.json", "embedded", 1)
    assert set(document["subjects"]) == {"backup", "restore", "start-up"}
    backups = document["subjects"]["backup"]
    assert set(backups) >= {"old way", "bare tools, fast", "cn-ops, fast", "cn-ops, parallel"}
    for way, one in backups.items():
        assert one["median_seconds"] > 0, way
        assert one["bytes_out"] > 1000, way
    assert backups["cn-ops, fast"]["phases"]["dump"] > 0
    assert backups["cn-ops, fast"]["peak_bytes"] > 10_000_000
    docs = tmp_path / "docs"
    (docs / "images").mkdir(parents=True)
    (docs / "performance.md").write_text(f"# Before\n{report.BEGIN}\nold\n{report.END}\nAfter\n")
    monkeypatch.setattr(report, "DOCS", docs)
    report.write_docs(results)
    page = (docs / "performance.md").read_text()
    assert page.startswith("# Before\n")
    assert page.endswith("\nAfter\n")
    assert "old\n" not in page
    assert "| cn-ops, parallel |" in page
    texts = [one.text for one in ET.parse(docs / "images" / "performance.svg").iter() if one.text]
    assert "backup: cn-ops, parallel" in texts


def test_command_that_fails_stops_the_run_and_says_why(tmp_path: Path) -> None:
    script = "import sys; print('out'); sys.exit('the reason')"
    with pytest.raises(RuntimeError, match="the reason"):
        run([sys.executable, "-c", script], server_cpu=lambda: 0.0, env=os.environ, cwd=tmp_path)


def test_cpu_and_memory_are_those_of_the_command(tmp_path: Path) -> None:
    script = "import time; kept = bytearray(60_000_000); sum(range(3_000_000)); time.sleep(0.2); print('done')"
    ran = run([sys.executable, "-c", script], server_cpu=lambda: 0.0, env=os.environ, cwd=tmp_path)
    assert ran.output == "done\n"
    assert ran.sample.peak_bytes > 60_000_000
    assert ran.sample.cpu_seconds > 0
    assert ran.sample.seconds >= 0.2
