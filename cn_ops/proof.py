"""Prove that a database is what its manifest says, or name what is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from cn_ops.differences import compare, extension_texts, object_texts
from cn_ops.errors import VerificationFailed
from cn_ops.fingerprint import Comparison, Difference, Fingerprint, Stripped
from cn_ops.postgres.fingerprint import take
from cn_ops.postgres.load import load_schema
from cn_ops.postgres.objects import PREAMBLE, archive_objects, extensions, schema_objects
from cn_ops.postgres.scratch import scratch_database
from cn_ops.postgres.snapshot import snapshot
from cn_ops.stack import Server
from cn_ops.text import first_of

SHOWN_DIFFERENCES = 20
LONGEST_SHOWN = 300
CONTEXT_SHOWN = 60


@dataclass(frozen=True)
class Subject:
    """A database to be proven, what it must be, and the dump that it came from.

    ``live`` is the database that it stands beside, null when it is that one: what is scratch bears its name, by which
    a later command finds what a killed one left. ``jobs`` is how many sessions compare, null for one for each core.
    """

    server: Server
    database: str
    expected: Fingerprint
    dump: Path
    live: str | None = None
    jobs: int | None = None


def prove(subject: Subject, stripped: Stripped, advanced: Callable[[str], None] = lambda _: None) -> Comparison:
    """Compare a database with what it must be.

    PostgreSQL does not always write an expression the way it was written to it: a CHECK on a varchar reads
    otherwise after its first round trip. And a dump does not say which version of an extension was there, or whose.
    So what differs in the schema is looked at once more, against what an empty database says of itself after it
    was given the dump's schema. An extension's other version or owner is told as left out.
    """
    expected = subject.expected
    probes = [one.probe for one in expected.probes]
    comparison = compare(expected, take(subject.server, subject.database, advanced, probes, subject.jobs), stripped)
    versions = extension_texts(expected.extensions)
    before = object_texts(expected.objects, stripped) | versions
    if not any(one.what in before for one in comparison.differences):
        return comparison
    normal = _normal_form(subject, expected, stripped)
    # What a dump says of extensions is their names.
    dumped = object_texts(archive_objects(subject.server, subject.dump)) | versions
    unavoidable = [
        one
        for one in comparison.differences
        if one.what in before
        and normal.get(one.what) == one.found
        # Which settings pg_dump begins with is its own version's: another one is no difference of the database.
        and (one.what.split()[0] == PREAMBLE or dumped.get(one.what) == one.expected)
    ]
    return replace(
        comparison,
        differences=tuple(one for one in comparison.differences if one not in unavoidable),
        stripped=(
            *comparison.stripped,
            *(f"{one.what} as {one.expected}" for one in unavoidable if one.what in versions),
        ),
    )


def require_equal(comparison: Comparison, subject: str, *, state: str = "", hint: str = "") -> None:
    """Raise ``VerificationFailed``, naming the differences, unless there are none."""
    if comparison.equal:
        return
    count = len(comparison.differences)
    raise VerificationFailed(
        f"{subject} is not what was backed up: {count} difference{'s' if count > 1 else ''}",
        state=state,
        hint=hint,
        evidence="\n".join(first_of(comparison.differences, SHOWN_DIFFERENCES, difference_line)),
    )


def difference_line(difference: Difference) -> str:
    """Say a difference on one line: of long texts, the part around the place where they part."""
    expected, found = (" ".join(text.split()) for text in (difference.expected, difference.found))
    shorter, longer = sorted((len(expected), len(found)))
    parts = (place for place in range(shorter) if expected[place] != found[place])
    begin = 0 if longer <= LONGEST_SHOWN else max(0, next(parts, shorter) - CONTEXT_SHOWN)
    expected, found = (_excerpt(text, begin) for text in (expected, found))
    return f"{' '.join(difference.what.split())}: expected {expected}; found {found}"


def _excerpt(text: str, begin: int) -> str:
    end = begin + LONGEST_SHOWN
    return f"{'…' if begin and len(text) > begin else ''}{text[begin:end]}{'…' if len(text) > end else ''}"


def _normal_form(subject: Subject, expected: Fingerprint, stripped: Stripped) -> dict[str, str]:
    """Return what an empty database says of its schema and extensions once it was given the dump's schema."""
    server = subject.server
    # A default of a point in time is written in the database's own time zone, and so on.
    settings = tuple((role, setting) for role, setting in expected.database.settings if not role)
    wanted = replace(expected.database, settings=settings, privileges=None, comment=None)
    with scratch_database(server, subject.live or subject.database, wanted) as scratch:
        flags = {"owners": not stripped.owners, "privileges": not stripped.privileges}
        load_schema(server, scratch, subject.dump, expected, **flags)
        with snapshot(server, scratch) as view:
            objects = schema_objects(server, scratch, view)
            return object_texts(objects, stripped) | extension_texts(extensions(view.connection))
