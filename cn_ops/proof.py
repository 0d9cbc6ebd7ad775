"""Prove that a database is what its manifest says, or name what is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from cn_ops.differences import compare, object_texts
from cn_ops.errors import VerificationFailed
from cn_ops.fingerprint import Comparison, Difference, Fingerprint, Stripped
from cn_ops.manifest import read_fingerprint
from cn_ops.postgres.fingerprint import take
from cn_ops.postgres.load import load_schema
from cn_ops.postgres.objects import archive_objects, schema_objects
from cn_ops.postgres.scratch import scratch_database
from cn_ops.stack import Server

SHOWN_DIFFERENCES = 20
LONGEST_SHOWN = 300


@dataclass(frozen=True)
class Subject:
    """A database to be proven, the manifest that says what it must be, and the dump that it came from.

    ``live`` is the database that it stands beside, null when it is that one: what is scratch bears its name, by which
    a later command finds what a killed one left.
    """

    server: Server
    database: str
    manifest: Path
    dump: Path
    live: str | None = None


def prove(subject: Subject, stripped: Stripped, advanced: Callable[[str], None] = lambda _: None) -> Comparison:
    """Compare a database with its manifest.

    PostgreSQL does not always write an expression the way it was written to it: a CHECK on a varchar reads
    otherwise after its first round trip. So what differs in the schema is looked at once more, against what an
    empty database says of itself after it was given the dump's schema.
    """
    expected = read_fingerprint(subject.manifest)
    comparison = compare(expected, take(subject.server, subject.database, advanced), stripped)
    written = {difference.what for difference in comparison.differences} & object_texts(expected.objects).keys()
    if not written:
        return comparison
    normal, dumped = _normal_form(subject, expected), object_texts(archive_objects(subject.server, subject.dump))
    real = tuple(
        one
        for one in comparison.differences
        if one.what not in written or normal.get(one.what) != one.found or dumped.get(one.what) != one.expected
    )
    return replace(comparison, differences=real)


def require_equal(comparison: Comparison, subject: str, *, state: str, hint: str) -> None:
    """Raise ``VerificationFailed``, naming the differences, unless there are none."""
    if comparison.equal:
        return
    count = len(comparison.differences)
    lines = [difference_line(one) for one in comparison.differences[:SHOWN_DIFFERENCES]]
    more = [f"… and {count - len(lines)} more"] if count > len(lines) else []
    raise VerificationFailed(
        f"{subject} is not what was backed up: {count} difference{'s' if count > 1 else ''}",
        state=state,
        hint=hint,
        evidence="\n".join([*lines, *more]),
    )


def difference_line(difference: Difference) -> str:
    """Say a difference on one line."""
    expected, found = (" ".join(text.split())[:LONGEST_SHOWN] for text in (difference.expected, difference.found))
    return f"{difference.what}: expected {expected}; found {found}"


def _normal_form(subject: Subject, expected: Fingerprint) -> dict[str, str]:
    """Return the schema's objects as an empty database writes them once it was given the dump's schema."""
    server = subject.server
    wanted = replace(expected.database, settings=(), privileges=None, comment=None)
    with scratch_database(server, subject.live or subject.database, wanted) as scratch:
        load_schema(server, scratch, subject.dump)
        return object_texts(schema_objects(server, scratch))
