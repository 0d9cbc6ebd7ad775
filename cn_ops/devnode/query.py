"""The parameters of `GET /v1/events`."""

from __future__ import annotations

from collections.abc import Sequence

from cn_ops.devnode.events import MAX_TIME
from cn_ops.devnode.store import Query

DEFAULT_LIMIT = 100
MAX_LIMIT = 10_000
PARAMETERS = ("topic", "since", "limit")


class InvalidQuery(ValueError):
    """Parameters that the node does not take; ``problems`` says all that is wrong with them."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def parse_query(items: Sequence[tuple[str, str]]) -> Query:
    """Return what is asked for; raises ``InvalidQuery`` with every problem."""
    values = dict(items)
    problems = [f"{name}: given more than once" for name in values if [key for key, _ in items].count(name) > 1]
    problems += [f"unknown parameter: {name[:50]!r}" for name in values if name not in PARAMETERS]
    topic = values.get("topic")
    if topic is not None and (not topic or "\x00" in topic):
        problems.append("topic: must be a topic's name")
    since = _number(values.get("since", "0"), 0, MAX_TIME)
    if since is None:
        problems.append("since: must be seconds since 1970, an integer")
    limit = _number(values.get("limit", str(DEFAULT_LIMIT)), 1, MAX_LIMIT)
    if limit is None:
        problems.append(f"limit: must be an integer from 1 to {MAX_LIMIT}")
    if problems or since is None or limit is None:
        raise InvalidQuery(problems)
    return Query(topic, since, limit)


def _number(text: str, least: int, most: int) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        return None
    number = int(text)
    return number if least <= number <= most else None
