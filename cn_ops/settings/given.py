"""What a source of settings gives: values, the place of each, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field

from cn_ops.masking import mask
from cn_ops.settings.fields import Keys, Kind, dotted

LONGEST_SHOWN = 60


@dataclass(frozen=True)
class Place:
    """Where a value was given: a file and a line, a variable or an option."""

    where: str
    line: int | None = None

    @property
    def source(self) -> str:
        """As `inv config` shows it."""
        return self.where if self.line is None else f"{self.where}:{self.line}"

    def __str__(self) -> str:
        return self.where if self.line is None else f"{self.where} line {self.line}"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with the settings."""

    keys: Keys
    message: str
    place: Place | None = None

    def __str__(self) -> str:
        head = f"{dotted(self.keys)}: " if self.keys else ""
        return f"{head}{self.message}" + (f" ({self.place})" if self.place else "")


@dataclass
class Given:
    """The settings that one source gives, by path; ``places`` also knows the items of lists and mappings."""

    values: dict[tuple[str, ...], object] = field(default_factory=dict)
    places: dict[Keys, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def override(self, other: Given) -> None:
        """Take over what another source gives; it wins, also where what it gives is wrong."""
        for keys in other.places:
            self.places = {known: place for known, place in self.places.items() if known[: len(keys)] != keys}
            self.values = {known: value for known, value in self.values.items() if known != keys}
            self.problems = [one for one in self.problems if one.keys[: len(keys)] != keys]
        self.values |= other.values
        self.places |= other.places
        self.problems += other.problems
        self.warnings += other.warnings

    def place_of(self, keys: Keys) -> Place | None:
        """Return where a value was given, or the nearest thing around it."""
        around = (self.places.get(keys[:length]) for length in range(len(keys), 0, -1))
        return next((place for place in around if place), None)


def shown(value: object, kind: Kind) -> str:
    """Write a refused value for people; a secret is never shown."""
    if kind is Kind.SECRET:
        return "something else"
    if value is None or value == "":
        return "nothing"
    if isinstance(value, str):
        # An expression that looks like a password is masked before it is cut, while it can be recognised.
        masked = mask(value)
        return repr(masked if len(masked) <= LONGEST_SHOWN else masked[:LONGEST_SHOWN] + "…")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list | tuple):
        return "a list"
    return "a mapping" if isinstance(value, dict) else "something else"
