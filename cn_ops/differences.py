"""Compare two fingerprints: a pure function that names every difference."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from cn_ops.fingerprint import (
    Comparison,
    Difference,
    Extension,
    Fingerprint,
    ProbeAnswer,
    SchemaObject,
    SequenceState,
    Stripped,
    TableContent,
)

T = TypeVar("T")

ABSENT = "nothing"
PRIVILEGE_TYPES = frozenset(("ACL", "DEFAULT ACL"))
NOTHING_STRIPPED = Stripped()


def compare(expected: Fingerprint, found: Fingerprint, stripped: Stripped = NOTHING_STRIPPED) -> Comparison:
    """Compare what was with what is there."""
    differences = [
        *_tables(expected.dumped, found.dumped),
        *(
            Difference(f"table {one.name}, a member of an extension that does not make it", _rows(one), ABSENT)
            for one in _lost_members(expected, found)
        ),
        *_sequences(expected.sequences, found.sequences),
        *_large_objects(expected, found, stripped),
        *_named("materialised view", expected.materialized_views, found.materialized_views, lambda one: one.name),
        *_objects(expected.objects, found.objects, stripped),
        *_named("extension", expected.extensions, found.extensions, lambda one: one.name),
        *(() if stripped.roles else _roles(expected, found)),
        *_probes(expected.probes, found.probes),
        *_silenced(expected, found),
        *_database(expected, found, stripped),
    ]
    return Comparison(
        tuple(differences),
        tuple(_left_out(expected, found, stripped)),
        tables=len(expected.dumped),
        rows=expected.rows,
    )


def _pairs(
    expected: Iterable[T], found: Iterable[T], key: Callable[[T], str]
) -> Iterator[tuple[str, T | None, T | None]]:
    """Pair what has the same key, in the order of keys."""
    left, right = {key(one): one for one in expected}, {key(one): one for one in found}
    for name in sorted(left.keys() | right.keys()):
        yield name, left.get(name), right.get(name)


def _tables(expected: Iterable[TableContent], found: Iterable[TableContent]) -> Iterator[Difference]:
    for name, was, now in _pairs(expected, found, lambda one: one.name):
        if was is None or now is None:
            yield Difference(f"table {name}", _rows(was), _rows(now))
        elif was.rows != now.rows:
            yield Difference(f"table {name}", f"{was.rows} rows", f"{now.rows} rows ({now.rows - was.rows:+d})")
        elif was.hash != now.hash:
            yield Difference(
                f"table {name}",
                f"{was.rows} rows with content {was.hash}",
                f"as many rows with other content, {now.hash}",
            )


def _lost_members(expected: Fingerprint, found: Fingerprint) -> list[TableContent]:
    """Return tables that belong to an extension and do not come with it: somebody added them to it.

    No dump holds such a table. Another version of an extension may come without a table as well.
    """
    was, now = ({(one.name, one.version) for one in side.extensions} for side in (expected, found))
    there = {one.name for one in found.tables}
    lost = [one for one in expected.tables if one.is_extension_own and one.name not in there]
    return lost if was == now else []


def _rows(table: TableContent | None) -> str:
    return ABSENT if table is None else f"{table.rows} rows"


def _sequences(expected: Iterable[SequenceState], found: Iterable[SequenceState]) -> Iterator[Difference]:
    for name, was, now in _pairs(expected, found, lambda one: one.name):
        if was is None or now is None or was.increment != now.increment or not _is_between(was, now):
            yield Difference(f"sequence {name}", _state(was), _state(now))


def _is_between(was: SequenceState, now: SequenceState) -> bool:
    """Whether a restored sequence stands where the dump can have found it: between the two readings."""
    forward = 1 if was.increment > 0 else -1
    first, last = (was.last_value * forward, was.is_called), (was.last_value_after * forward, was.is_called_after)
    if first > last:  # it went around its end meanwhile, or was set back
        return True
    return first <= (now.last_value * forward, now.is_called) <= last


def _state(one: SequenceState | None) -> str:
    if one is None:
        return ABSENT
    called = "" if one.is_called else ", not called yet"
    upto = f" to {one.last_value_after}" if one.last_value_after != one.last_value else ""
    return f"at {one.last_value}{upto}{called}, by {one.increment}"


def _large_objects(expected: Fingerprint, found: Fingerprint, stripped: Stripped) -> Iterator[Difference]:
    was, now = expected.large_objects, found.large_objects
    if was.count != now.count:
        yield Difference("large objects", f"{was.count}", f"{now.count}")
    elif was.hash != now.hash:
        yield Difference(
            "large objects", f"{was.count} with content {was.hash}", f"as many with other content, {now.hash}"
        )
    elif was.attributes_hash != now.attributes_hash and not (stripped.owners or stripped.privileges):
        yield Difference("large objects' owners, privileges or comments", was.attributes_hash, now.attributes_hash)


def _named(kind: str, expected: Iterable[T], found: Iterable[T], key: Callable[[T], str]) -> Iterator[Difference]:
    for name, was, now in _pairs(expected, found, key):
        if was != now:
            yield Difference(f"{kind} {name}", _shown(was), _shown(now))


def _shown(one: object) -> str:
    if one is None:
        return ABSENT
    values: Mapping[str, Any] = asdict(one)  # type: ignore[call-overload]
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items() if name != "name")


def _objects(
    expected: Iterable[SchemaObject], found: Iterable[SchemaObject], stripped: Stripped
) -> Iterator[Difference]:
    was, now = (object_texts(one, stripped) for one in (expected, found))
    for title in sorted(was.keys() | now.keys()):
        if was.get(title) != now.get(title):
            yield Difference(title, was.get(title, ABSENT), now.get(title, ABSENT))
    if not stripped.owners:
        owners, there = (_owners(one) for one in (expected, found))
        for title in sorted(owners.keys() & there.keys()):
            if owners[title] != there[title]:
                yield Difference(f"owner of {title}", owners[title], there[title])


def object_texts(objects: Iterable[SchemaObject], stripped: Stripped = NOTHING_STRIPPED) -> dict[str, str]:
    """Return statements by title; some objects share one, such as a table's several comments."""
    grouped: dict[str, list[str]] = {}
    for one in objects:
        if not (stripped.privileges and one.type in PRIVILEGE_TYPES):
            grouped.setdefault(one.title, []).append(one.text)
    return {title: "\n\n".join(sorted(texts)) for title, texts in grouped.items()}


def _owners(objects: Iterable[SchemaObject]) -> dict[str, str]:
    """Return owners by title; of objects that share one, such as two operators of a name, in the texts' order."""
    owned: dict[str, set[tuple[str, str]]] = {}
    for one in objects:
        if one.type not in PRIVILEGE_TYPES:
            owned.setdefault(one.title, set()).add((one.text, one.owner))
    owners = {title: [owner for _, owner in sorted(pairs)] for title, pairs in owned.items()}
    return {title: ", ".join(names if len(set(names)) > 1 else names[:1]) for title, names in owners.items()}


def _roles(expected: Fingerprint, found: Fingerprint) -> Iterator[Difference]:
    """Compare the roles that both refer to; one that owns or may less is seen in its object."""
    there = {role.name: role for role in found.roles}
    for role in expected.roles:
        if role.name in there and there[role.name] != role:
            yield Difference(f"role {role.name}", _shown(role), _shown(there[role.name]))


def _probes(expected: Iterable[ProbeAnswer], found: Iterable[ProbeAnswer]) -> Iterator[Difference]:
    """Compare answers; what has no answer, or one that is never right, is a difference even if it was so before."""
    for name, was, now in _pairs(expected, found, lambda one: one.probe.name):
        if now is None or was is None:
            yield Difference(f"probe {name}", _answer(was), _answer(now))
        elif now.problem:
            yield Difference(f"probe {name}", now.probe.expect or _answer(was), now.problem)
        elif now.probe.expect is None and was.answer != now.answer:
            yield Difference(f"probe {name}", _answer(was), _answer(now))


def _answer(one: ProbeAnswer | None) -> str:
    if one is None:
        return "not asked"
    return one.problem or str(one.answer)


def _silenced(expected: Fingerprint, found: Fingerprint) -> Iterator[Difference]:
    """Name keys that do not hold any more; that one did not hold before is in no dump, and a restore mends it."""
    for one in sorted(set(found.silenced) - set(expected.silenced)):
        yield Difference(
            f"constraint {one.constraint} on {one.table}", "held", "not held: its own trigger is disabled"
        )


def extension_texts(extensions: Iterable[Extension]) -> dict[str, str]:
    """Return extensions as differences name them and show them."""
    return {f"extension {one.name}": _shown(one) for one in extensions}


def _database(expected: Fingerprint, found: Fingerprint, stripped: Stripped) -> Iterator[Difference]:
    was, now = asdict(expected.database), asdict(found.database)
    left_out = {"owner"} if stripped.owners else set()
    for name in sorted(was.keys() - left_out):
        if was[name] != now[name]:
            yield Difference(f"database {name.replace('_', ' ')}", f"{was[name]}", f"{now[name]}")


def _left_out(expected: Fingerprint, found: Fingerprint, stripped: Stripped) -> Iterator[str]:
    if stripped.privileges:
        before, after = (sum(one.type in PRIVILEGE_TYPES for one in side.objects) for side in (expected, found))
        if before != after:
            yield f"privileges of {before - after} objects"
    if stripped.owners:
        owners, there = _owners(expected.objects), _owners(found.objects)
        changed = sum(owners[title] != there[title] for title in owners.keys() & there.keys())
        if changed:
            yield f"owners of {changed} objects"
    lost = _lost_members(expected, found)
    own = [[one for one in side.tables if one.is_extension_own and one not in lost] for side in (expected, found)]
    for difference in _tables(*own):
        yield f"{difference.what}, an extension's own, which had {difference.expected} and has {difference.found}"
    if stripped.roles:
        for difference in _roles(expected, found):
            yield f"the server's {difference.what}, which was {difference.expected} and is {difference.found}"
    for one in sorted(set(expected.silenced) - set(found.silenced)):
        yield f"the disabled trigger of constraint {one.constraint} on {one.table}"
