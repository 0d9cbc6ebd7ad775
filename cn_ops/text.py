"""Numbers and lists as people read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T")


def readable_bytes(count: int) -> str:
    """Return a size: 999 B, 1.5 MB."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def readable_seconds(seconds: float | None) -> str:
    """Return a duration: 0.12 s, 95 s; nothing for what was not measured."""
    if seconds is None:
        return ""
    return f"{seconds:.2f} s" if seconds < 100 else f"{seconds:.0f} s"


def readable_age(age: timedelta) -> str:
    """Return an age in its largest two units: 3 d 4 h, 5 min."""
    minutes = max(0, int(age.total_seconds() // 60))
    days, hours = minutes // 1440, minutes // 60 % 24
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"


def first_of(items: Sequence[T], most: int, shown: Callable[[T], str] = str) -> list[str]:
    """Return the first of them as they are shown, and after these how many more there are."""
    more = len(items) - most
    return [*map(shown, items[:most]), *([f"… and {more} more"] if more > 0 else [])]
