"""The nightly workflow's gate: its own script, run by bash, on any day of the month."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import noxfile
from tools import act

NIGHTLY = Path(noxfile.__file__).parent / ".github" / "workflows" / "nightly.yml"


def decide(event: str, day: str, folder: Path) -> str:
    """Run the gate's script with a `date` that answers ``day``, and only when it is asked for the day in UTC."""
    (step,) = act.load(NIGHTLY)["jobs"]["gate"]["steps"]
    clock = folder / "date"
    clock.write_text(f'#!/bin/sh\n[ "$*" = "-u +%d" ] && echo {day}\n')
    clock.chmod(0o755)
    output = folder / "output"
    subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", step["run"]],
        env={"PATH": f"{folder}:/usr/bin:/bin", "EVENT": event, "GITHUB_OUTPUT": str(output)},
        check=True,
        timeout=10,
    )
    return output.read_text()


@pytest.mark.parametrize(
    ("event", "day", "said"),
    [
        ("schedule", "01", "run=true\n"),
        ("schedule", "02", "run=false\n"),
        ("schedule", "10", "run=false\n"),
        ("schedule", "31", "run=false\n"),
        ("workflow_dispatch", "01", "run=true\n"),
        ("workflow_dispatch", "17", "run=true\n"),
    ],
)
def test_schedule_passes_on_the_first_of_the_month_only_and_people_always(
    event: str, day: str, said: str, tmp_path: Path
) -> None:
    assert decide(event, day, tmp_path) == said
