"""An error for people and for programs."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from cn_ops.errors import OpsError
from cn_ops.masking import mask
from cn_ops.report.words import Words


def print_failure(console: Console, error: OpsError) -> None:
    """Print what failed, its evidence, what everything is in now, and the way out."""
    _print(console, Text("error: ", "bold red"), Text(mask(error.message)))
    if error.evidence:
        for line in mask(error.evidence).splitlines():
            _print(console, Text("  | ", "dim"), Text(line, "dim"))
    for name, text in (("now", error.state), ("do", error.hint)):
        if text:
            _print(console, Text(f"{name}: ", "bold"), Text(mask(text)))


def failure_document(error: OpsError) -> dict[str, Any]:
    """Return an error as one JSON document."""
    return {
        "error": {
            "message": mask(error.message),
            "state": mask(error.state),
            "hint": mask(error.hint),
            "evidence": mask(error.evidence),
            "exit_code": int(error.exit_code),
        }
    }


def _print(console: Console, label: Text, text: Text) -> None:
    console.print(Words(text, label), crop=False)
