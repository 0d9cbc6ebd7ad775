"""Run a drill on the embedded stack and write what a person sees as a picture: `python -m tools.drill_picture`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "drill.svg"
COLUMNS = 104
HIDE_CURSOR = re.compile(r"\x1b\[\?25[lh]")


def drilled() -> str:
    """Drill in a folder of its own; return what was printed, colours included."""
    colours = {"FORCE_COLOR": "1", "TTY_INTERACTIVE": "0", "COLUMNS": str(COLUMNS)}
    with tempfile.TemporaryDirectory(prefix="drill-") as folder:
        shutil.copy(ROOT / "tasks.py", folder)
        inv = [sys.executable, "-m", "invoke"]
        try:
            done = subprocess.run(
                [*inv, "drill", "--stack=embedded"],
                cwd=folder,
                env={**os.environ, **colours},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=True,
                text=True,
            )
        finally:
            subprocess.run(
                [*inv, "stack.down", "--volumes", "--stack=embedded"], cwd=folder, check=True, capture_output=True
            )
    return HIDE_CURSOR.sub("", done.stdout)


def main() -> None:
    """Write the picture."""
    console = Console(record=True, width=COLUMNS, file=Path(os.devnull).open("w"), force_terminal=True)  # noqa: SIM115
    console.print(Text("$ inv drill --stack=embedded", style="bold"))
    console.print(Text.from_ansi(drilled()))
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    console.save_svg(str(PICTURE), title="inv drill", unique_id="drill")
    print(f"wrote {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
