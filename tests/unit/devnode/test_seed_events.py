"""The seeded events: the same every time, in the shape that is promised, whatever the number."""

from __future__ import annotations

import json
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from cn_ops.devnode.events import HEX_64, HEX_128, SEED_PREFIX
from cn_ops.devnode.seed_events import FEWEST, MOST, copy_chunks, copy_row, seed_event

TOPIC = "kukuri:e2e-alpha"
TOPICS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=40)


def unescaped(field: str) -> str:
    """Read a field of COPY's text format, as its documentation describes it."""
    letters = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}
    parts = iter(field)
    return "".join(letters[next(parts)] if part == "\\" else part for part in parts)


def test_nine_events_are_seven_notes_a_reaction_and_a_repost() -> None:
    kinds = [seed_event(TOPIC, number).kind for number in range(FEWEST)]
    assert kinds == [1] * 7 + [7, 6]


def test_identifiers_never_change() -> None:
    # Written down: a drill of today reads what an older version seeded.
    assert seed_event(TOPIC, 0).event_id == "ce2e5eed000000000bfc397e07ec1d9e3775c6436f71b22521f3febf4b2228f9"
    assert seed_event(TOPIC, 8).event_id == "ce2e5eed00000008fc8f8c122e655a11123e3a2c206aeb7b4e7aa938dfba5353"


def test_content_is_japanese_english_and_emoji() -> None:
    text = "".join(seed_event(TOPIC, number).content for number in range(FEWEST))
    assert "こんにちは" in text
    assert "Hello" in text
    assert "🌸" in text


def test_reactions_and_reposts_speak_of_a_note_of_the_seed() -> None:
    events = {event.event_id: event for event in (seed_event(TOPIC, number) for number in range(90))}
    spoken_of = [events[tag[1]] for event in events.values() for tag in event.tags if tag[0] == "e"]
    assert len(spoken_of) == 20
    assert {event.kind for event in spoken_of} == {1}


def test_more_events_begin_with_the_same_ones() -> None:
    few, many = b"".join(copy_chunks(TOPIC, 9)), b"".join(copy_chunks(TOPIC, 1200))
    assert many.startswith(few)
    assert many.count(b"\n") == 1200
    assert Counter(row.split(b"\t")[2] for row in many.splitlines())[b"1"] == 1200 // 9 * 7 + 3


@given(TOPICS, st.integers(0, MOST - 1))
def test_event_is_well_formed_and_deterministic(topic: str, number: int) -> None:
    event = seed_event(topic, number)
    assert event == seed_event(topic, number)
    assert HEX_64.fullmatch(event.event_id)
    assert HEX_64.fullmatch(event.pubkey)
    assert HEX_128.fullmatch(event.sig)
    assert event.topics == (topic,)


@given(TOPICS, st.integers(0, MOST - 2))
def test_identifiers_grow_and_carry_the_mark(topic: str, number: int) -> None:
    one, next_one = seed_event(topic, number), seed_event(topic, number + 1)
    assert one.event_id.startswith(SEED_PREFIX)
    assert one.event_id < next_one.event_id
    assert one.created_at < next_one.created_at


@given(TOPICS, st.integers(0, 1000))
def test_row_reads_back_as_the_event(topic: str, number: int) -> None:
    event = seed_event(topic, number)
    row = copy_row(event)
    assert row.endswith("\n")
    fields = [unescaped(field) for field in row[:-1].split("\t")]
    assert fields[:4] == [event.event_id, event.pubkey, str(event.kind), str(event.created_at)]
    assert fields[5:7] == [event.content, event.sig]
    assert json.loads(fields[4]) == [list(tag) for tag in event.tags]
    assert json.loads(fields[7]) == event.document()
