"""Which faults `--sweep` names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """The `number`-th of so many equal shares of all faults, evenly spread over them: a sweep in parts."""

    number: int
    shares: int

    def of(self, every: Sequence[T]) -> Sequence[T]:
        """Return the faults of this share."""
        return every[self.number - 1 :: self.shares]


def share_of_faults(text: str) -> Share:
    """Read `all` or `K/N`; raises ValueError for anything else."""
    number, shares = (1, 1) if text == "all" else map(int, text.split("/"))
    if not 1 <= number <= shares:
        raise ValueError(text)
    return Share(number, shares)
