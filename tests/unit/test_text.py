"""Numbers and lists as people read them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cn_ops.text import first_of, readable_age, readable_bytes, readable_seconds


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_549_999, "1.5 MB"),
        (123_456_789, "123 MB"),
        (2_000_000_000, "2.0 GB"),
        (5 * 10**15, "5000.0 TB"),
    ],
)
def test_size_is_shown_in_its_unit(count: int, text: str) -> None:
    assert readable_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (0.0, "0.00 s"), (0.123, "0.12 s"), (99.0, "99.00 s"), (125.4, "125 s")]
)
def test_what_was_not_measured_is_not_zero(seconds: float | None, text: str) -> None:
    assert readable_seconds(seconds) == text


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (timedelta(seconds=59), "0 min"),
        (timedelta(minutes=61), "1 h 1 min"),
        (timedelta(days=3, hours=4, minutes=59), "3 d 4 h"),
        (timedelta(seconds=-5), "0 min"),
    ],
)
def test_age_is_shown_in_its_largest_units(age: timedelta, text: str) -> None:
    assert readable_age(age) == text


@pytest.mark.parametrize(
    ("most", "shown"), [(1, ["0x1", "… and 2 more"]), (3, ["0x1", "0x2", "0x3"]), (4, ["0x1", "0x2", "0x3"])]
)
def test_long_list_ends_with_how_many_more_there_are(most: int, shown: list[str]) -> None:
    assert first_of([1, 2, 3], most, hex) == shown
