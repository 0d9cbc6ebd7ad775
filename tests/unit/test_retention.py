"""Retention decides about complete generations, and about nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cn_ops.model import Catalogue, Generation
from cn_ops.retention import Keep, decide, fallen, made_at
from tests.support.generations import catalogue, generation

ALIKE = st.just(1000)
NEWEST = datetime(2026, 11, 24, 3, tzinfo=UTC)
PERIODS: dict[str, Callable[[datetime], object]] = {
    "daily": lambda at: at.strftime("%Y-%m-%d"),
    "weekly": lambda at: at.strftime("%G-%V"),
    "monthly": lambda at: at.strftime("%Y-%m"),
}
KEEPS = st.builds(
    Keep, st.integers(1, 12), daily=st.integers(0, 8), weekly=st.integers(0, 8), monthly=st.integers(0, 8)
)


@st.composite
def catalogues(draw: st.DrawFn, sizes: st.SearchStrategy[int] = ALIKE) -> Catalogue:
    """Folders of up to two years, several generations a day among them."""
    hours = sorted(draw(st.sets(st.integers(0, 2 * 365 * 24), max_size=40)))
    return catalogue(
        *(
            generation(
                (NEWEST - timedelta(hours=hour)).strftime("%Y%m%d-%H%M%S"),
                damaged=draw(st.booleans()),
                proven=draw(st.booleans()),
                size_bytes=draw(sizes),
                rows=draw(sizes),
            )
            for hour in hours
        )
    )


def kept(found: Catalogue, keep: Keep) -> list[Generation]:
    return [one.generation for one in decide(found, keep).decisions if one.keep]


@given(catalogues(), KEEPS)
def test_every_complete_generation_is_decided_once_with_a_reason_and_no_damaged_one(
    found: Catalogue, keep: Keep
) -> None:
    decisions = decide(found, keep).decisions
    assert [one.generation for one in decisions] == list(found.complete)
    assert all(one.reason for one in decisions)


@given(catalogues(), KEEPS)
def test_the_newest_and_the_newest_proven_are_never_removed(found: Catalogue, keep: Keep) -> None:
    assert set(found.complete[: keep.last]) | set(found.proven[:1]) <= set(kept(found, keep))


@given(catalogues(), KEEPS)
def test_newest_of_each_period_is_kept_for_as_many_periods_as_wanted(found: Catalogue, keep: Keep) -> None:
    for name, period in PERIODS.items():
        by_period: dict[object, list[Generation]] = {}
        for one in found.complete:
            by_period.setdefault(period(made_at(one)), []).append(one)
        for members in list(by_period.values())[: getattr(keep, name)]:
            assert members[0] in kept(found, keep)


@given(catalogues(), KEEPS)
def test_nothing_is_kept_that_no_rule_asks_for(found: Catalogue, keep: Keep) -> None:
    most = keep.last + keep.daily + keep.weekly + keep.monthly + 1
    assert len(kept(found, keep)) <= most
    proven = 1 if found.proven and found.proven[0] not in found.complete[: keep.last] else 0
    plain = Keep(keep.last)
    assert len(kept(found, plain)) == min(len(found.complete), keep.last) + proven


@given(catalogues(), KEEPS)
def test_what_was_kept_is_kept_again(found: Catalogue, keep: Keep) -> None:
    again = catalogue(*kept(found, keep))
    assert kept(again, keep) == list(again.complete)


@given(catalogues(), KEEPS, st.sampled_from(["last", "daily", "weekly", "monthly"]))
def test_asking_for_more_removes_nothing_that_was_kept(found: Catalogue, keep: Keep, field: str) -> None:
    more = Keep(**{**vars(keep), field: getattr(keep, field) + 1})
    assert set(kept(found, keep)) <= set(kept(found, more))


@given(catalogues(st.integers(0, 2000)), KEEPS, st.floats(0, 1))
def test_nothing_is_removed_while_the_newest_is_suspicious(found: Catalogue, keep: Keep, share: float) -> None:
    careful = Keep(keep.last, suspicious_share=share)
    decided = decide(found, careful)
    fell = False
    for newer, older in list(pairwise(found.complete))[:1]:
        assert newer.manifest
        assert older.manifest
        for now, then in (
            (newer.manifest.size_bytes, older.manifest.size_bytes),
            (newer.manifest.rows, older.manifest.rows),
        ):
            fell |= then > 0 and (then - now) / then > share
    assert bool(decided.suspicion) is fell
    if fell:
        assert all(one.keep for one in decided.decisions)


@pytest.mark.parametrize(
    ("newest", "before", "suspicion"),
    [
        (
            {"size_bytes": 49},
            {"size_bytes": 100},
            "size of 20261124-030000 is 49, and that of 20261123-030000 was 100",
        ),
        ({"rows": 0}, {"rows": 9}, "number of rows of 20261124-030000 is 0"),
        ({"size_bytes": 50}, {"size_bytes": 100}, None),
        ({"size_bytes": 100}, {"size_bytes": 1}, None),
        ({"rows": 0}, {"rows": 0}, None),
    ],
)
def test_suspicion_names_what_fell_and_from_where(
    newest: dict[str, Any], before: dict[str, Any], suspicion: str | None
) -> None:
    found = catalogue(generation("20261124-030000", **newest), generation("20261123-030000", **before))
    said = decide(found, Keep(1, suspicious_share=0.5)).suspicion
    assert (suspicion in said) if suspicion and said else said is suspicion


def test_damaged_generations_between_do_not_hide_a_fall() -> None:
    found = catalogue(
        generation("20261124-030000", rows=1),
        generation("20261123-030000", damaged=True),
        generation("20261122-030000", rows=9),
    )
    assert decide(found, Keep(1, suspicious_share=0.5)).suspicion


def test_what_was_before_a_fall_outlasts_the_generations_after_it_until_they_are_trusted() -> None:
    full = generation("20261120-030000", rows=9)
    found = catalogue(*(generation(f"2026112{day}-030000", rows=0) for day in (4, 3, 2, 1)), full)
    decided = decide(found, Keep(1, suspicious_share=0.5))
    assert decided.suspicion is None
    assert [one.generation.id for one in decided.decisions if one.keep] == ["20261124-030000", full.id]
    again = catalogue(*(one.generation for one in decided.decisions if one.keep))
    assert full in kept(again, Keep(1, suspicious_share=0.5))
    assert full not in kept(found, Keep(1))


def test_generations_of_each_database_are_counted_for_themselves() -> None:
    other = [generation("20261122-030000", database="other"), generation("20261120-030000", database="other")]
    found = catalogue(generation("20261124-030000"), generation("20261123-030000", rows=9), *other)
    assert kept(found, Keep(1)) == [found.generations[0], other[0]]
    # A small database beside a large one is no fall.
    assert (
        decide(
            catalogue(generation("20261123-040000", database="other", rows=0), found.generations[1]),
            Keep(1, suspicious_share=0.1),
        ).suspicion
        is None
    )


def test_generations_of_other_clusters_use_up_no_places_of_the_newest_one_s() -> None:
    """As those of drills on another stack: their databases have the same name, and are much smaller."""
    days = [generation(f"2026112{day}-040000", system_identifier=str(day), rows=0) for day in (3, 2, 1)]
    nights = [generation(f"2026112{day}-030000", rows=9) for day in (4, 3, 2, 1)]
    found = catalogue(*sorted((*days, *nights), key=lambda one: one.id, reverse=True))
    decided = decide(found, Keep(2, suspicious_share=0.1))
    assert [one.generation for one in decided.decisions if one.keep] == [nights[0], days[0], nights[1], *days[1:]]
    assert decided.suspicion is None


def test_any_number_of_other_clusters_leaves_the_newest_and_the_newest_proven_of_each() -> None:
    real = [generation("20261104-030000"), generation("20261103-030000", proven=True), generation("20261102-030000")]
    drills = [generation(f"202611{day}-040000", system_identifier=str(day)) for day in range(24, 9, -1)]
    assert kept(catalogue(*drills, *real), Keep(2)) == [*drills, *real[:2]]


def test_drills_on_new_clusters_use_up_nothing_of_a_real_one() -> None:
    real = [generation("20261104-030000"), generation("20261103-030000"), generation("20261102-030000")]
    drills = [generation(f"202611{day}-040000", system_identifier=str(day)) for day in (24, 23, 22)]
    assert kept(catalogue(*drills, *real), Keep(2)) == [*drills, *real[:2]]


@pytest.mark.parametrize("keep", [0, -1, -1000])
def test_keeping_none_is_refused(keep: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        decide(catalogue(generation("20261124-030000")), Keep(keep))


def test_empty_folder_needs_no_decision() -> None:
    assert decide(catalogue(), Keep(1)).decisions == ()


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ((100, 100), None),
        ((5, 100), (5, 100)),
        ((5, 5, 100), (5, 100)),  # a second one of the same little does not hide it
        ((99, 5, 100), None),  # it came back
        ((90, 10, 90, 1000), (90, 1000)),  # what came back was less
    ],
)
def test_fall_is_told_as_long_as_what_was_lost_is_not_back(
    rows: tuple[int, ...], told: tuple[int, int] | None
) -> None:
    made = [generation(f"202611{24 - day:02}-030000", rows=count) for day, count in enumerate(rows)]
    said = fallen(catalogue(*made), 0.5)
    assert (said is None) == (told is None)
    if told:
        assert said is not None
        assert re.findall(r"(?:is|was) (\d+)", said) == [str(one) for one in told]


def test_generations_of_another_cluster_are_no_fall() -> None:
    ours = generation("20261124-030000", rows=5)
    theirs = generation("20261123-030000", rows=100)
    assert theirs.manifest
    other = replace(theirs, manifest=replace(theirs.manifest, system_identifier="another"))
    assert fallen(catalogue(ours, other), 0.5) is None
    assert fallen(catalogue(ours, theirs), 0.5)
