"""Settings for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from cn_ops.report.terminal import plain_table


def settings_table(rows: Sequence[tuple[str, str, str]]) -> Table:
    """Return settings as (path, value, source) rows."""
    table = plain_table("setting", "value", "source")
    for row in rows:
        table.add_row(*row)
    return table
