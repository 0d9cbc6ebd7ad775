"""Retention decides about complete generations, and about nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cn_ops.model import Catalogue
from cn_ops.retention import decide
from tests.support.generations import catalogue, generation


@st.composite
def catalogues(draw: st.DrawFn) -> Catalogue:
    days = draw(st.lists(st.integers(1, 28), unique=True, max_size=28))
    damaged = draw(st.sets(st.sampled_from(days))) if days else set()
    ids = sorted(days, reverse=True)
    return catalogue(*(generation(f"202611{day:02}-030000", damaged=day in damaged) for day in ids))


@given(catalogues(), st.integers(1, 40))
def test_exactly_as_many_are_kept_as_wanted_or_there_are(found: Catalogue, keep: int) -> None:
    kept = [one for one in decide(found, keep) if one.keep]
    assert len(kept) == min(keep, len(found.complete))


@given(catalogues(), st.integers(1, 40))
def test_the_newest_are_kept_and_the_newest_of_all_always(found: Catalogue, keep: int) -> None:
    kept = [one.generation for one in decide(found, keep) if one.keep]
    assert kept == list(found.complete[:keep])
    assert not found.complete or found.complete[0] in kept


@given(catalogues(), st.integers(1, 40))
def test_every_complete_generation_is_decided_once_and_no_damaged_one(found: Catalogue, keep: int) -> None:
    decided = [one.generation for one in decide(found, keep)]
    assert decided == list(found.complete)
    assert all(one.reason for one in decide(found, keep))


@given(catalogues(), st.integers(1, 40))
def test_what_was_kept_is_kept_again(found: Catalogue, keep: int) -> None:
    kept = catalogue(*(one.generation for one in decide(found, keep) if one.keep))
    assert all(one.keep for one in decide(kept, keep))


@pytest.mark.parametrize("keep", [0, -1, -1000])
def test_keeping_none_is_refused(keep: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        decide(catalogue(generation("20261124-030000")), keep)


def test_empty_folder_needs_no_decision() -> None:
    assert decide(catalogue(), 1) == ()
