"""What a database was at one moment: small enough to keep, exact enough to prove that it is back.

A fingerprint holds no row and no secret: contents are hashes, and statements that may hold a password are masked.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cn_ops.model import DatabaseProperties

FINGERPRINT_VERSION = 3


@dataclass(frozen=True, order=True, slots=True)
class TableContent:
    """A table's rows, in any order; ``hash`` is 128 bits in hex, summed over the rows.

    ``is_extension_own``: an extension's table that is not declared as configuration. Dumps leave its rows out, and
    CREATE EXTENSION makes what it makes. ``size_bytes`` is what it took on disk without its indexes, which says how
    to load it and is no part of what it is.
    """

    name: str
    rows: int
    hash: str
    is_extension_own: bool = False
    size_bytes: int = field(default=0, compare=False)


@dataclass(frozen=True, order=True)
class SequenceState:
    """Where a sequence stands.

    Sequences are outside every snapshot: on a busy database the dump's value lies between two readings, so both
    are kept. On an idle one they are the same.
    """

    name: str
    last_value: int
    is_called: bool
    increment: int
    last_value_after: int
    is_called_after: bool


@dataclass(frozen=True)
class LargeObjects:
    """All large objects: how many, a hash of identifiers and contents, and one of owners, privileges, comments."""

    count: int
    hash: str
    attributes_hash: str


@dataclass(frozen=True, order=True)
class MaterializedView:
    """Whether a materialised view holds rows; which ones follows from its query."""

    name: str
    populated: bool


@dataclass(frozen=True, order=True, slots=True)
class SchemaObject:
    """One object as pg_dump writes it: its statements without the owner's, and the owner."""

    type: str
    schema: str
    name: str
    owner: str
    text: str

    @property
    def title(self) -> str:
        """What people call it."""
        where = f"{self.schema}." if self.schema not in ("", "-") else ""
        return f"{self.type} {where}{self.name}"


@dataclass(frozen=True, order=True)
class Extension:
    """An installed extension. A dump says neither its version nor its owner."""

    name: str
    version: str
    schema: str
    owner: str


@dataclass(frozen=True, order=True)
class Membership:
    """That a role belongs to another; ``options`` as in GRANT … WITH, where they are not the usual ones."""

    role: str
    options: tuple[str, ...]


@dataclass(frozen=True, order=True)
class Role:
    """A role that the database refers to: `attributes` as in CREATE ROLE, and what it is a member of."""

    name: str
    attributes: tuple[str, ...]
    member_of: tuple[Membership, ...]
    settings: tuple[str, ...]


@dataclass(frozen=True, order=True)
class SilencedConstraint:
    """A key that is there and does not hold: a trigger of its own has been disabled, which no dump says."""

    table: str
    constraint: str


@dataclass(frozen=True)
class Probe:
    """A question of the node's own: its query must answer ``expect``, or what it answered when the dump was made."""

    name: str
    query: str
    expect: str | None


@dataclass(frozen=True)
class ProbeAnswer:
    """What a probe answered: one value, or a hash of its rows; ``error`` says why it did not."""

    probe: Probe
    answer: str | None
    error: str | None

    @property
    def problem(self) -> str | None:
        """Why the answer cannot be accepted, whatever it was before."""
        if self.error is not None:
            return f"an error: {self.error}"
        if self.probe.expect is not None and self.answer != self.probe.expect:
            return str(self.answer)
        return None


@dataclass(frozen=True)
class Fingerprint:
    """Everything that must be back after a recovery."""

    server_version: str
    database: DatabaseProperties
    tables: tuple[TableContent, ...]
    sequences: tuple[SequenceState, ...]
    large_objects: LargeObjects
    materialized_views: tuple[MaterializedView, ...]
    objects: tuple[SchemaObject, ...]
    extensions: tuple[Extension, ...]
    roles: tuple[Role, ...]
    silenced: tuple[SilencedConstraint, ...]
    probes: tuple[ProbeAnswer, ...]
    fingerprint_version: int

    @property
    def rows(self) -> int:
        """Rows in all tables that a dump holds."""
        return sum(table.rows for table in self.dumped)

    @property
    def dumped(self) -> tuple[TableContent, ...]:
        """The tables whose rows a dump holds."""
        return tuple(one for one in self.tables if not one.is_extension_own)

    def rows_of(self, table: str) -> int | None:
        """Return how many rows a table has of its own; null for one whose name is written otherwise here."""
        return next((one.rows for one in self.tables if one.name == table), None)


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it was: what it is, what it was, and what is there."""

    what: str
    expected: str
    found: str


@dataclass(frozen=True)
class Stripped:
    """What a restore leaves out on purpose; ``roles`` are the server's own, and no restore changes them."""

    owners: bool = False
    privileges: bool = False
    roles: bool = False


@dataclass(frozen=True)
class Comparison:
    """What differs, and what the restore's flags have stripped: that is neither equal nor a difference."""

    differences: tuple[Difference, ...]
    stripped: tuple[str, ...]
    tables: int
    rows: int

    @property
    def equal(self) -> bool:
        """Whether everything that was to be back is back."""
        return not self.differences
