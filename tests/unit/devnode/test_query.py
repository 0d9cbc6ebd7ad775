"""The parameters of `GET /v1/events`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cn_ops.devnode.query import InvalidQuery, parse_query
from cn_ops.devnode.store import Query


def test_nothing_asked_is_the_first_hundred_of_all() -> None:
    assert parse_query([]) == Query(topic=None, since=0, limit=100)


def test_everything_asked_is_taken() -> None:
    items = [("topic", "kukuri:a"), ("since", "5"), ("limit", "10000")]
    assert parse_query(items) == Query(topic="kukuri:a", since=5, limit=10_000)


@pytest.mark.parametrize(
    ("items", "word"),
    [
        ([("limit", "0")], "limit"),
        ([("limit", "10001")], "limit"),
        ([("limit", "many")], "limit"),
        ([("limit", "-1")], "limit"),
        ([("since", "yesterday")], "since"),
        ([("since", "9" * 17)], "since"),
        ([("topic", "")], "topic"),
        ([("topic", "a\x00")], "topic"),
        ([("Topic", "a")], "Topic"),
        ([("limit", "1"), ("limit", "2")], "limit"),
    ],
)
def test_bad_parameter_is_named(items: list[tuple[str, str]], word: str) -> None:
    with pytest.raises(InvalidQuery) as refused:
        parse_query(items)
    assert len(refused.value.problems) == 1
    assert word in refused.value.problems[0]


@given(st.lists(st.tuples(st.sampled_from(["topic", "since", "limit", "x"]), st.text(max_size=8)), max_size=4))
def test_any_parameters_are_a_query_within_bounds_or_refused(items: list[tuple[str, str]]) -> None:
    try:
        query = parse_query(items)
    except InvalidQuery:
        return
    assert 1 <= query.limit <= 10_000
    assert query.since >= 0
