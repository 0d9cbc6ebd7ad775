"""Posted events: what is taken, what is refused, and by which key they replace each other."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cn_ops.devnode.events import MAX_TEXT, SEED_PREFIX, InvalidEvent, event_hash, parse_event

NOW = 1_750_000_000
AUTHOR = "ab" * 32


def document(**changes: Any) -> dict[str, Any]:
    return {"pubkey": AUTHOR, "kind": 1, "content": "こんにちは 🌸", "tags": [["t", "kukuri:a"]], **changes}


def problems(**changes: Any) -> list[str]:
    with pytest.raises(InvalidEvent) as refused:
        parse_event(document(**changes), NOW)
    return refused.value.problems


def test_identifier_time_and_signature_may_be_left_out() -> None:
    event = parse_event(document(), NOW)
    assert event.created_at == NOW
    assert event.event_id == event_hash(AUTHOR, NOW, 1, (("t", "kukuri:a"),), "こんにちは 🌸")
    assert event.topics == ("kukuri:a",)


def test_identifier_is_the_hash_that_nip_01_describes() -> None:
    text = f'[0,"{AUTHOR}",1,1,[["t","x"]],"hi"]'
    assert event_hash(AUTHOR, 1, 1, (("t", "x"),), "hi") == hashlib.sha256(text.encode()).hexdigest()


def test_identifier_that_is_given_is_kept() -> None:
    assert parse_event(document(id="cd" * 32), NOW).event_id == "cd" * 32


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"pubkey": "AB" * 32}, "pubkey"),
        ({"pubkey": None}, "pubkey"),
        ({"kind": True}, "kind"),
        ({"kind": 65536}, "kind"),
        ({"kind": 1.0}, "kind"),
        ({"created_at": -1}, "created_at"),
        ({"created_at": "now"}, "created_at"),
        ({"content": "a\x00b"}, "content"),
        ({"content": "\ud83d"}, "content"),
        ({"content": "x" * (MAX_TEXT + 1)}, "content"),
        ({"content": 5}, "content"),
        ({"tags": []}, "tags"),
        ({"tags": {}}, "tags"),
        ({"tags": [[]]}, "tags"),
        ({"tags": [["t", 5]]}, "tags"),
        ({"tags": [["t", "\x00"]]}, "tags"),
        ({"tags": [["e", "x"]]}, "tags"),
        ({"sig": "zz"}, "sig"),
        ({"id": "12"}, "id"),
        ({"id": None}, "id"),
        ({"surprise": 1}, "unknown field"),
    ],
)
def test_bad_field_is_named(changes: dict[str, Any], field: str) -> None:
    found = problems(**changes)
    assert len(found) == 1
    assert found[0].startswith(field)


def test_every_problem_is_said_at_once() -> None:
    assert len(problems(pubkey=1, kind=-1, content=None)) == 3


def test_identifiers_of_the_seed_are_refused() -> None:
    assert "cn e2e seed" in problems(id=SEED_PREFIX + "0" * 56)[0]


@pytest.mark.parametrize("value", [None, [], "text", 5])
def test_what_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(InvalidEvent):
        parse_event(value, NOW)


def test_profile_replaces_the_profile_of_its_author() -> None:
    event = parse_event(document(kind=0), NOW)
    assert (event.replaceable_key, event.addressable_key) == (f"0:{AUTHOR}", None)


def test_addressable_event_is_known_by_its_own_name() -> None:
    event = parse_event(document(kind=30023, tags=[["t", "a"], ["d", "article"]]), NOW)
    assert (event.replaceable_key, event.addressable_key) == (None, f"30023:{AUTHOR}:article")


def test_note_replaces_nothing() -> None:
    event = parse_event(document(), NOW)
    assert (event.replaceable_key, event.addressable_key, event.is_ephemeral) == (None, None, False)


def test_topic_that_is_named_twice_counts_once() -> None:
    assert parse_event(document(tags=[["t", "a"], ["t", "b"], ["t", "a"]]), NOW).topics == ("a", "b")


WORDS = st.text("at0é🌸\x00\ud83d", max_size=4)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | WORDS
JSON_VALUES = LEAVES | st.lists(st.lists(LEAVES, max_size=3) | LEAVES, max_size=3) | st.dictionaries(WORDS, LEAVES)
FIELDS = st.sampled_from(["id", "pubkey", "kind", "created_at", "tags", "content", "sig", "other"])


@given(st.dictionaries(FIELDS, JSON_VALUES, max_size=4))
def test_any_json_is_an_event_or_refused(changes: dict[str, Any]) -> None:
    try:
        event = parse_event(document(**changes), NOW)
    except InvalidEvent:
        return
    assert parse_event(json.loads(json.dumps(event.document())), NOW) == event
