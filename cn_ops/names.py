"""Ids of generations and restores, and names of the databases that stand beside a live one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container
from datetime import UTC, datetime
from enum import StrEnum
from itertools import count

LONGEST_NAME_BYTES = 63
ID_PATTERN = r"\d{8}-\d{6}(?:-\d+)?"
# How much of a name is kept for an id: the time, and a number of up to three digits behind it.
_ID_BYTES = 19
_DIGEST_DIGITS = 8


class Beside(StrEnum):
    """What a database beside the live one is."""

    INCOMING = "incoming"
    PREVIOUS = "previous"
    SCRATCH = "scratch"


def new_id(now: datetime, taken: int = 0) -> str:
    """Return an id: UTC, to the second, with a number behind it where that second is taken."""
    stamp = now.astimezone(UTC).strftime("%Y%m%d-%H%M%S")
    return f"{stamp}-{taken + 1}" if taken else stamp


def sort_key(made_id: str) -> tuple[str, int]:
    """Order ids by time, then by number."""
    stamp, _, number = made_id[:15], made_id[15:16], made_id[16:]
    return stamp, int(number or 1)


def beside(database: str, kind: Beside, operation_id: str) -> str:
    """Return `cn__incoming_20261124-030000`; PostgreSQL would cut a long name, so that is done before."""
    return f"{_head(database, kind)}__{kind}_{operation_id}"


def free_names(database: str, kinds: tuple[Beside, ...], now: datetime, there: Container[str]) -> tuple[str, ...]:
    """Return a name of each kind, all with one id, that no database has yet."""
    ids = (new_id(now, taken) for taken in count())
    choices = (tuple(beside(database, kind, one) for kind in kinds) for one in ids)
    return next(names for names in choices if not any(name in there for name in names))


def beside_pattern(database: str, kind: Beside) -> re.Pattern[str]:
    """Return what matches every such name of a database, and of no other; its group is the id."""
    return re.compile(rf"{re.escape(_head(database, kind))}__{kind}_({ID_PATTERN})")


def _head(database: str, kind: Beside) -> str:
    size = LONGEST_NAME_BYTES - len(f"__{kind}_") - _ID_BYTES
    if len(database.encode()) <= size:
        return database
    # Long names may begin alike: what is left of them must still tell them apart.
    digest = hashlib.sha256(database.encode()).hexdigest()[:_DIGEST_DIGITS]
    return database.encode()[: size - len(digest) - 1].decode(errors="ignore") + f"~{digest}"
