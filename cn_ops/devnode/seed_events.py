"""The seeded events: any number, the same every time, in Japanese, English and emoji.

Every nine events are seven notes, a reaction and a repost. Identifiers grow with the number of the event, so
that a million of them go into their indexes in order, and start with the prefix that is the seed's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from json.encoder import encode_basestring

from cn_ops.devnode.events import SEED_PREFIX, Event

FEWEST = 9
MOST = 10_000_000
BLOCK = 9
FIRST_CREATED_AT = 1_735_689_600  # 2025-01-01 00:00:00 UTC
ROWS_PER_CHUNK = 500

NOTES = (
    "こんにちは、kukuri! 復旧訓練のための投稿です。",
    "Hello from the recovery drill: this note must come back.",
    "🌸 春の朝、データは無事ですか? 🗾✨",
    "Backups that were never restored are only a hope. 💾",
    '改行\nと\tタブ、"引用符"、バックスラッシュ \\ も失われません。',
    "絵文字の家族 👨‍👩‍👧‍👦 と国旗 🇯🇵 – zero-width joiners included.",
    "「データベースが消えた」と言われた夜のために。 3 a.m. runbook, section 2.4.",
)
REACTIONS = ("+", "🎉", "❤️", "👍🏽", "草")


def authors() -> tuple[str, ...]:
    """Return the public keys of the seed's authors."""
    return tuple(hashlib.sha256(f"cn e2e author {number}".encode()).hexdigest() for number in range(8))


SEED_AUTHORS = authors()


def event_id(topic: str, number: int) -> str:
    """Return the identifier of the seed's event ``number``, from 0."""
    digest = hashlib.sha256(f"cn e2e event {number} {topic}".encode()).hexdigest()
    return f"{SEED_PREFIX}{number:08x}{digest[:48]}"


def seed_event(topic: str, number: int) -> Event:
    """Return the seed's event ``number``, from 0."""
    block, place = divmod(number, BLOCK)
    own = event_id(topic, number)
    tags: tuple[tuple[str, ...], ...] = (("t", topic), ("client", "cn-e2e"))
    if place < len(NOTES):
        kind, content = 1, f"{NOTES[place]} #{number}"
    else:
        # The reaction and the repost speak of the first note of their block.
        first = block * BLOCK
        tags = (("t", topic), ("e", event_id(topic, first)), ("p", _author(first)))
        kind, content = (7, REACTIONS[block % len(REACTIONS)]) if place == len(NOTES) else (6, "")
    # It only looks like a signature; this node checks none.
    return Event(own, _author(number), kind, FIRST_CREATED_AT + number, tags, content, own[::-1] + own)


def copy_chunks(topic: str, count: int) -> Iterator[bytes]:
    """Yield the rows of ``cn_relay.events`` in COPY's text format, some hundred at a time.

    Columns: event_id, pubkey, kind, created_at, tags, content, sig, raw_json.
    """
    for start in range(0, count, ROWS_PER_CHUNK):
        numbers = range(start, min(start + ROWS_PER_CHUNK, count))
        yield "".join([copy_row(seed_event(topic, number)) for number in numbers]).encode()


def copy_row(event: Event) -> str:
    """Return one row in COPY's text format."""
    tags = "[" + ",".join([_tag(tag) for tag in event.tags]) + "]"
    raw = (
        f'{{"id":"{event.event_id}","pubkey":"{event.pubkey}","kind":{event.kind},'
        f'"created_at":{event.created_at},"tags":{tags},"content":{encode_basestring(event.content)},'
        f'"sig":"{event.sig}"}}'
    )
    return (
        f"{event.event_id}\t{event.pubkey}\t{event.kind}\t{event.created_at}\t{_escaped(tags)}"
        f"\t{_escaped(event.content)}\t{event.sig}\t{_escaped(raw)}\n"
    )


@lru_cache(maxsize=1024)
def _tag(tag: tuple[str, ...]) -> str:
    return "[" + ",".join([encode_basestring(part) for part in tag]) + "]"


def _author(number: int) -> str:
    return SEED_AUTHORS[number % len(SEED_AUTHORS)]


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\\\")
    return text.replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
