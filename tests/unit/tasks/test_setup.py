"""Options that are numbers, and the confirmation."""

from __future__ import annotations

import io
import sys

import pytest

from cn_ops.errors import UsageError
from cn_ops.tasks.setup import whole_number


@pytest.mark.parametrize(("text", "number"), [(None, None), ("1", 1), ("007", 7), ("999999999", 999_999_999)])
def test_whole_number_is_read(text: str | None, number: int | None) -> None:
    assert whole_number("--keep", text, 1) == number


@pytest.mark.parametrize(
    "text",
    ["", "0", "-1", "many", "1.5", "1e3", " 3", "3\n", "+3", "--5", "5-", "-", "٣", "²", "0x10", "1_000", "9" * 4301],
)
def test_anything_else_is_refused_and_the_option_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="--keep must be a whole number, at least 1") as failed:
        whole_number("--keep", text, 1)
    assert failed.value.state == "nothing was changed"


def test_whole_number_below_the_least_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 9"):
        whole_number("--events", "8", 9)


def test_unit_of_a_number_is_named() -> None:
    with pytest.raises(UsageError, match="--older-than must be a whole number of days, at least 0, got '3d'"):
        whole_number("--older-than", "3d", 0, "days")


def test_no_terminal_is_touched_by_a_check_of_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert whole_number("--keep", "2", 1) == 2
