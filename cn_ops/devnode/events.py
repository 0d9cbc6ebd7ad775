"""Events, as NIP-01 describes them: checked when they arrive, with the keys by which they replace each other."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

HEX_64 = re.compile(r"[0-9a-f]{64}")
HEX_128 = re.compile(r"[0-9a-f]{128}")
# Identifiers that start so belong to `cn e2e seed`, which removes them again: nobody else may use them.
SEED_PREFIX = "ce2e5eed"
MAX_KIND = 65535
MAX_TIME = 2**53  # what JSON readers agree on
MAX_TEXT = 65536
MAX_TAGS = 2000
FIELDS = ("id", "pubkey", "kind", "created_at", "tags", "content", "sig")


class InvalidEvent(ValueError):
    """An event that the node does not take; ``problems`` says all that is wrong with it."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Event:
    """An event; ``topics`` are its ``t`` tags."""

    event_id: str
    pubkey: str
    kind: int
    created_at: int
    tags: tuple[tuple[str, ...], ...]
    content: str
    sig: str

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics it belongs to, each once."""
        return tuple(dict.fromkeys(tag[1] for tag in self.tags if len(tag) > 1 and tag[0] == "t"))

    @property
    def is_ephemeral(self) -> bool:
        """Whether it is passed on and not kept."""
        return 20000 <= self.kind < 30000

    @property
    def replaceable_key(self) -> str | None:
        """What at most one current event has: the newest of this kind and author."""
        if self.kind in (0, 3) or 10000 <= self.kind < 20000:
            return f"{self.kind}:{self.pubkey}"
        return None

    @property
    def addressable_key(self) -> str | None:
        """The same, with the author's own name for it, the ``d`` tag."""
        if not 30000 <= self.kind < 40000:
            return None
        name = next((tag[1] for tag in self.tags if len(tag) > 1 and tag[0] == "d"), "")
        return f"{self.kind}:{self.pubkey}:{name}"

    def document(self) -> dict[str, object]:
        """Return the event as it travels."""
        tags = [list(tag) for tag in self.tags]
        values = (self.event_id, self.pubkey, self.kind, self.created_at, tags, self.content, self.sig)
        return dict(zip(FIELDS, values, strict=True))


def parse_event(document: object, now: int) -> Event:
    """Return the event that a client posted; raises ``InvalidEvent`` with every problem.

    ``id``, ``created_at`` (default ``now``, in seconds) and ``sig`` may be left out. The signature's form is
    checked and the signature is not: this node is for drills, and holds nothing that has to be believed.
    """
    if not isinstance(document, Mapping):
        raise InvalidEvent(["the event must be a JSON object"])
    event = {"created_at": now, "sig": "0" * 128, "content": "", "tags": [], **document}
    problems = [f"unknown field: {str(name)[:50]!r}" for name in event if name not in FIELDS]
    problems += _problems_of_fields(event)
    if problems:
        raise InvalidEvent(problems)
    tags = tuple(tuple(tag) for tag in event["tags"])
    event_id = event.get("id") or event_hash(
        event["pubkey"], event["created_at"], event["kind"], tags, event["content"]
    )
    made = Event(event_id, event["pubkey"], event["kind"], event["created_at"], tags, event["content"], event["sig"])
    if not made.topics:
        raise InvalidEvent(['tags: at least one topic is needed, such as ["t", "kukuri:e2e-alpha"]'])
    return made


def event_hash(pubkey: str, created_at: int, kind: int, tags: tuple[tuple[str, ...], ...], content: str) -> str:
    """Return the identifier that NIP-01 gives an event."""
    parts = [0, pubkey, created_at, kind, tags, content]
    return hashlib.sha256(json.dumps(parts, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


def _problems_of_fields(event: Mapping[str, object]) -> list[str]:
    problems = []
    if not _matches(HEX_64, event.get("pubkey")):
        problems.append("pubkey: must be 64 lower-case hexadecimal digits")
    if not _matches(HEX_128, event["sig"]):
        problems.append("sig: must be 128 lower-case hexadecimal digits")
    if not _is_int(event.get("kind"), MAX_KIND):
        problems.append(f"kind: must be an integer from 0 to {MAX_KIND}")
    if not _is_int(event["created_at"], MAX_TIME):
        problems.append("created_at: must be seconds since 1970, an integer")
    if not _is_text(event["content"]):
        problems.append(f"content: must be text without NUL, at most {MAX_TEXT} characters")
    if not _are_tags(event["tags"]):
        problems.append(f"tags: must be lists of text without NUL, at most {MAX_TAGS}, none of them empty")
    return problems + _problems_of_id(event.get("id", ""))


def _problems_of_id(event_id: object) -> list[str]:
    if event_id == "":
        return []
    if not _matches(HEX_64, event_id):
        return ["id: must be 64 lower-case hexadecimal digits"]
    if str(event_id).startswith(SEED_PREFIX):
        return [f"id: what starts with {SEED_PREFIX} belongs to `cn e2e seed`"]
    return []


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_int(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _is_text(value: object) -> bool:
    """Whether PostgreSQL can hold it: no NUL, and no half of a surrogate pair."""
    if not isinstance(value, str) or len(value) > MAX_TEXT or "\x00" in value:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value) if not value.isascii() else True


def _are_tags(value: object) -> bool:
    if not isinstance(value, list) or len(value) > MAX_TAGS:
        return False
    return all(isinstance(tag, list) and tag and all(_is_text(part) for part in tag) for tag in value)
