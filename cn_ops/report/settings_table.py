"""Settings for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from cn_ops.report.terminal import plain_table

DEFAULT = "default"


def settings_table(rows: Sequence[tuple[str, str, str]]) -> Table:
    """Return settings, given as (path, value, source); what was set by somebody stands out."""
    table = plain_table("setting", "value (source)")
    for path, value, source in rows:
        table.add_row(path, Text.assemble(value, (f"  ({source})", "dim" if source == DEFAULT else "cyan")))
    return table
