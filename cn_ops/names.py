"""Names of the databases that stand beside a live one: what is coming in, and what was there before."""

from __future__ import annotations

import re
from enum import StrEnum

LONGEST_NAME_BYTES = 63
_ID = r"\d{8}-\d{6}(?:-\d+)?"


class Beside(StrEnum):
    """What a database beside the live one is."""

    INCOMING = "incoming"
    PREVIOUS = "previous"
    SCRATCH = "scratch"


def beside(database: str, kind: Beside, operation_id: str) -> str:
    """Return `cn__incoming_20261124-030000`; a long name is cut so that PostgreSQL does not cut it."""
    suffix = f"__{kind}_{operation_id}"
    return _cut(database, LONGEST_NAME_BYTES - len(suffix)) + suffix


def beside_pattern(database: str, kind: Beside) -> re.Pattern[str]:
    """Return what matches every such name of a database, and nothing else."""
    heads = {_cut(database, LONGEST_NAME_BYTES - len(f"__{kind}_") - length) for length in (15, 17, 18, 19)}
    alternatives = "|".join(sorted(map(re.escape, heads), key=len, reverse=True))
    return re.compile(rf"(?:{alternatives})__{kind}_({_ID})")


def _cut(name: str, size: int) -> str:
    return name.encode()[:size].decode(errors="ignore")
