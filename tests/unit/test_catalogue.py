"""What a backup folder's generations are worth, taken together."""

from __future__ import annotations

from pathlib import Path

import pytest

from cn_ops.model import Catalogue, Generation, GenerationState

STATES = {"c": GenerationState.COMPLETE, "d": GenerationState.DAMAGED}


def catalogue(states: str) -> Catalogue:
    """Return a folder with a generation for each letter, the newest first."""
    ids = range(len(states), 0, -1)
    made = (
        Generation(str(one), Path(f"{one}.dump"), Path(f"{one}.manifest.json"), STATES[state])
        for one, state in zip(ids, states, strict=True)
    )
    return Catalogue(Path(), tuple(made), ())


@pytest.mark.parametrize(
    ("states", "ids"), [("", []), ("cdc", []), ("dcd", ["3"]), ("ddc", ["3", "2"]), ("dd", ["2", "1"])]
)
def test_damaged_generations_newer_than_the_newest_complete_one_are_passed_over(states: str, ids: list[str]) -> None:
    assert [one.id for one in catalogue(states).passed_over] == ids
