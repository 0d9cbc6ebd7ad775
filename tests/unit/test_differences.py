"""Everything in a fingerprint that differs is named; what is the same, and what a restore strips, is not."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cn_ops.differences import compare
from cn_ops.fingerprint import (
    Extension,
    Fingerprint,
    LargeObjects,
    MaterializedView,
    Membership,
    Probe,
    ProbeAnswer,
    Role,
    SchemaObject,
    SequenceState,
    SilencedConstraint,
    Stripped,
    TableContent,
)
from cn_ops.model import DatabaseProperties, Privilege
from tests.support.generations import fingerprint, properties

WORDS = st.text("abc é", min_size=1, max_size=5)
HASHES = st.text("0123456789abcdef", min_size=32, max_size=32)


def unique(made: st.SearchStrategy[Any], *keys: str) -> st.SearchStrategy[tuple[Any, ...]]:
    def key(one: Any) -> tuple[Any, ...]:
        return tuple(getattr(one, name) for name in keys)

    return st.lists(made, max_size=4, unique_by=key).map(lambda found: tuple(sorted(found)))


def idle(name: str, value: int, called: bool, step: int) -> SequenceState:
    return SequenceState(name, value, called, step, value, called)


def answered(name: str, answer: str) -> ProbeAnswer:
    return ProbeAnswer(Probe(name, "SELECT 1", None), answer, None)


FINGERPRINTS = st.builds(
    Fingerprint,
    server_version=st.just("17.6"),
    database=st.builds(properties, owner=WORDS, comment=st.none() | WORDS, connection_limit=st.integers(-1, 9)),
    tables=unique(st.builds(TableContent, WORDS, st.integers(0, 9), HASHES), "name"),
    sequences=unique(st.builds(idle, WORDS, st.integers(-9, 9), st.booleans(), st.sampled_from([-2, 1])), "name"),
    large_objects=st.builds(LargeObjects, st.integers(0, 3), HASHES, HASHES),
    materialized_views=unique(st.builds(MaterializedView, WORDS, st.booleans()), "name"),
    objects=unique(
        st.builds(SchemaObject, st.sampled_from(["ACL", "TABLE"]), WORDS, WORDS, WORDS, WORDS),
        "type",
        "schema",
        "name",
    ),
    extensions=unique(st.builds(Extension, WORDS, WORDS, WORDS, WORDS), "name"),
    roles=unique(st.builds(Role, WORDS, st.just(()), st.just(()), st.just(())), "name"),
    silenced=unique(st.builds(SilencedConstraint, WORDS, WORDS), "table", "constraint"),
    probes=st.lists(st.builds(answered, WORDS, WORDS), max_size=4, unique_by=lambda one: one.probe.name).map(tuple),
)


def names(was: Fingerprint, now: Fingerprint, stripped: Stripped = Stripped()) -> list[str]:  # noqa: B008 - frozen
    return [one.what for one in compare(was, now, stripped).differences]


@given(FINGERPRINTS, st.booleans(), st.booleans())
def test_what_is_the_same_is_equal_whatever_is_stripped(one: Fingerprint, owners: bool, privileges: bool) -> None:
    comparison = compare(one, one, Stripped(owners, privileges))
    assert comparison.equal
    assert comparison.stripped == ()
    assert (comparison.tables, comparison.rows) == (len(one.tables), one.rows)


@given(FINGERPRINTS, FINGERPRINTS)
def test_differences_are_the_same_both_ways_round_but_for_roles_and_silenced_keys(
    one: Fingerprint, other: Fingerprint
) -> None:
    """Of roles only those that both refer to are compared, and only a key that fell silent is a loss."""
    there, back = names(one, other), names(other, one)
    assert [name for name in there if not name.startswith("constraint ")] == [
        name for name in back if not name.startswith("constraint ")
    ]


@given(FINGERPRINTS, st.data())
def test_one_table_taken_away_is_exactly_one_difference(one: Fingerprint, data: st.DataObject) -> None:
    if not one.tables:
        return
    gone = data.draw(st.sampled_from(one.tables))
    left = replace(one, tables=tuple(table for table in one.tables if table != gone))
    (difference,) = compare(one, left).differences
    assert (difference.what, difference.found) == (f"table {gone.name}", "nothing")
    assert names(left, one) == [f"table {gone.name}"]


BASE = fingerprint()
(ACL, SCHEMA, TABLE) = BASE.objects
(AUDITOR, CN) = BASE.roles
(SEQUENCE,) = BASE.sequences
(EVENT_TOPICS, EVENTS) = BASE.tables
(SIGNED,) = BASE.probes
CHANGES: dict[str, tuple[Fingerprint, list[str]]] = {
    "a row less": (replace(BASE, tables=(EVENT_TOPICS, replace(EVENTS, rows=8))), ["table cn_relay.events"]),
    "another content": (
        replace(BASE, tables=(EVENT_TOPICS, replace(EVENTS, hash="f" * 32))),
        ["table cn_relay.events"],
    ),
    "a table more": (
        replace(BASE, tables=(*BASE.tables, TableContent("x.y", 0, "0" * 32))),
        ["table x.y"],
    ),
    "two tables' contents exchanged": (
        replace(BASE, tables=(replace(EVENT_TOPICS, hash=EVENTS.hash), replace(EVENTS, hash=EVENT_TOPICS.hash))),
        ["table cn_relay.event_topics", "table cn_relay.events"],
    ),
    "a sequence ahead": (
        replace(BASE, sequences=(replace(SEQUENCE, last_value=10),)),
        ["sequence cn_relay.events_outbox_seq"],
    ),
    "a sequence not called": (
        replace(BASE, sequences=(replace(SEQUENCE, is_called=False),)),
        ["sequence cn_relay.events_outbox_seq"],
    ),
    "another step": (
        replace(BASE, sequences=(replace(SEQUENCE, increment=2),)),
        ["sequence cn_relay.events_outbox_seq"],
    ),
    "a sequence gone": (replace(BASE, sequences=()), ["sequence cn_relay.events_outbox_seq"]),
    "large objects fewer": (replace(BASE, large_objects=LargeObjects(0, "0" * 32, "0" * 32)), ["large objects"]),
    "large objects' content": (
        replace(BASE, large_objects=replace(BASE.large_objects, hash="f" * 32)),
        ["large objects"],
    ),
    "large objects' owners": (
        replace(BASE, large_objects=replace(BASE.large_objects, attributes_hash="f" * 32)),
        ["large objects' owners, privileges or comments"],
    ),
    "a view not populated": (
        replace(BASE, materialized_views=(MaterializedView("cn_index.totals", False),)),
        ["materialised view cn_index.totals"],
    ),
    "an object's text": (
        replace(BASE, objects=(ACL, SCHEMA, replace(TABLE, text="CREATE TABLE other;"))),
        ["TABLE cn_relay.events"],
    ),
    "an object's owner": (
        replace(BASE, objects=(ACL, SCHEMA, replace(TABLE, owner="auditor"))),
        ["owner of TABLE cn_relay.events"],
    ),
    "an object gone": (replace(BASE, objects=(ACL, SCHEMA)), ["TABLE cn_relay.events"]),
    "a privilege gone": (replace(BASE, objects=(SCHEMA, TABLE)), ["ACL cn_relay.TABLE events"]),
    "a second comment of that title": (
        replace(BASE, objects=(ACL, SCHEMA, TABLE, replace(TABLE, text="COMMENT;"))),
        ["TABLE cn_relay.events"],
    ),
    "an extension's version": (
        replace(BASE, extensions=(Extension("pgcrypto", "1.4", "public", "cn"),)),
        ["extension pgcrypto"],
    ),
    "an extension's owner": (
        replace(BASE, extensions=(Extension("pgcrypto", "1.3", "public", "auditor"),)),
        ["extension pgcrypto"],
    ),
    "an extension's schema": (
        replace(BASE, extensions=(Extension("pgcrypto", "1.3", "x", "cn"),)),
        ["extension pgcrypto"],
    ),
    "a role's attributes": (replace(BASE, roles=(replace(AUDITOR, attributes=()), CN)), ["role auditor"]),
    "a role's memberships": (
        replace(BASE, roles=(replace(AUDITOR, member_of=(Membership("readers", ("ADMIN OPTION",)),)), CN)),
        ["role auditor"],
    ),
    "a role's settings": (replace(BASE, roles=(replace(AUDITOR, settings=()), CN)), ["role auditor"]),
    "a probe's answer": (replace(BASE, probes=(replace(SIGNED, answer="1"),)), ["probe signed"]),
    "a probe that errors": (
        replace(BASE, probes=(replace(SIGNED, answer=None, error="no such table"),)),
        ["probe signed"],
    ),
    "a probe not asked": (replace(BASE, probes=()), ["probe signed"]),
    "a key that fell silent": (
        replace(BASE, silenced=(*BASE.silenced, SilencedConstraint("a.b", "c"))),
        ["constraint c on a.b"],
    ),
}  # fmt: skip
OTHER: dict[str, Any] = {
    "owner": "auditor",
    "encoding": "LATIN1",
    "locale_provider": "icu",
    "collate": "ja_JP",
    "ctype": "ja_JP",
    "locale": "ja-JP",
    "icu_rules": "&a < b",
    "connection_limit": 5,
    "tablespace": "fast",
    "comment": "",
    "privileges": (Privilege("", "CONNECT", False),),
    "settings": (("", "work_mem=4MB"),),
    "is_template": True,
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_named_and_nothing_else(change: str) -> None:
    now, expected = CHANGES[change]
    assert names(BASE, now) == expected
    for one in compare(BASE, now).differences:
        assert one.expected != one.found
        assert one.expected
        assert one.found


def test_every_part_of_a_fingerprint_is_changed_by_one_of_these() -> None:
    parts = {one.name for one in fields(Fingerprint)} - {"server_version", "fingerprint_version", "database"}
    assert parts == {
        part for part in parts for now, _ in CHANGES.values() if getattr(now, part) != getattr(BASE, part)
    }


@pytest.mark.parametrize("field", [one.name for one in fields(DatabaseProperties)])
def test_every_property_of_the_database_is_compared(field: str) -> None:
    now = replace(BASE, database=properties(**{field: OTHER[field]}))
    assert names(BASE, now) == [f"database {field.replace('_', ' ')}"]


def test_another_version_of_the_server_is_no_difference() -> None:
    assert compare(BASE, replace(BASE, server_version="18.1")).equal


@given(st.sampled_from([1, 3, -1, -3]), st.integers(0, 5), st.integers(0, 5), st.integers(-3, 9))
def test_restored_sequence_stands_between_the_two_readings(step: int, used: int, more: int, there: int) -> None:
    """On a busy node a sequence moves while it is dumped: whatever it was meanwhile is right, and nothing else."""
    start = 100
    before, after = used, used + more
    was = SequenceState("q", start + step * before, before > 0, step, start + step * after, after > 0)
    now = idle("q", start + step * there, there > 0, step)
    one, other = replace(BASE, sequences=(was,)), replace(BASE, sequences=(now,))
    assert compare(one, other).equal is (before <= there <= after)


def test_sequence_that_went_around_meanwhile_may_stand_anywhere() -> None:
    was = SequenceState("q", 99, True, 1, 2, True)
    for value in (100, 1, 50):
        assert compare(replace(BASE, sequences=(was,)), replace(BASE, sequences=(idle("q", value, True, 1),))).equal


def test_what_is_stripped_is_told_and_is_no_difference() -> None:
    bare = replace(
        BASE,
        objects=(replace(SCHEMA, owner="postgres"), replace(TABLE, owner="postgres")),
        large_objects=replace(BASE.large_objects, attributes_hash="f" * 32),
        database=properties(owner="postgres"),
    )
    comparison = compare(BASE, bare, Stripped(owners=True, privileges=True))
    assert comparison.differences == ()
    assert comparison.stripped == ("privileges of 1 objects", "owners of 2 objects")
    assert len(names(BASE, bare)) == 5


def test_owners_that_are_stripped_hide_no_privilege_and_the_other_way_round() -> None:
    without_privilege = replace(BASE, objects=(SCHEMA, TABLE))
    other_owner = replace(BASE, objects=(ACL, SCHEMA, replace(TABLE, owner="auditor")))
    assert names(BASE, without_privilege, Stripped(owners=True)) == ["ACL cn_relay.TABLE events"]
    assert names(BASE, other_owner, Stripped(privileges=True)) == ["owner of TABLE cn_relay.events"]


def test_key_that_was_silent_before_is_told_and_is_no_difference() -> None:
    comparison = compare(BASE, replace(BASE, silenced=()))
    assert comparison.equal
    assert comparison.stripped == ("the disabled trigger of constraint events_fkey on cn_relay.events",)


def test_roles_that_only_one_side_refers_to_are_seen_in_what_they_own_or_may() -> None:
    assert compare(BASE, replace(BASE, roles=())).equal
