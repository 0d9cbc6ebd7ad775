"""Names of databases beside a live one: short enough, free, and nobody else's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import assume, given
from hypothesis import strategies as st

from cn_ops.names import LONGEST_NAME_BYTES, Beside, beside, beside_pattern, free_names, new_id, sort_key

NOW = datetime(2026, 11, 24, 3, tzinfo=UTC)
KINDS = st.sampled_from(list(Beside))
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1).filter(
    lambda name: len(name.encode()) <= LONGEST_NAME_BYTES
)
IDS = st.builds(new_id, st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1)), st.integers(0, 998))


@given(NAMES, KINDS, IDS)
def test_name_is_never_longer_than_postgresql_keeps(name: str, kind: Beside, made: str) -> None:
    made_name = beside(name, kind, made)
    assert len(made_name.encode()) <= LONGEST_NAME_BYTES
    assert made_name.endswith(f"__{kind}_{made}")


@given(NAMES, KINDS, IDS)
def test_pattern_finds_the_name_and_its_id(name: str, kind: Beside, made: str) -> None:
    found = beside_pattern(name, kind).fullmatch(beside(name, kind, made))
    assert found
    assert found[1] == made


@given(NAMES, KINDS, NAMES, KINDS, IDS)
def test_pattern_finds_no_name_of_another_database_or_kind(
    name: str, kind: Beside, other: str, other_kind: Beside, made: str
) -> None:
    assume((name, kind) != (other, other_kind))
    assert not beside_pattern(name, kind).fullmatch(beside(other, other_kind, made))


@given(st.text("aé🌸", min_size=40).filter(lambda name: len(name.encode()) <= LONGEST_NAME_BYTES - 1), KINDS, IDS)
def test_long_names_that_begin_alike_are_told_apart(name: str, kind: Beside, made: str) -> None:
    assert not beside_pattern(f"{name}x", kind).fullmatch(beside(f"{name}y", kind, made))


@given(NAMES, KINDS)
def test_pattern_finds_nothing_that_people_made(name: str, kind: Beside) -> None:
    pattern = beside_pattern(name, kind)
    made = beside(name, kind, "20261124-030000")
    for stranger in (name, f"{name}__{kind}", f"{made}_copy", f"x{made}", made.replace("2026", "O026"), f"{made}-"):
        assert not pattern.fullmatch(stranger)


def test_names_of_one_second_are_numbered() -> None:
    kinds = (Beside.INCOMING, Beside.PREVIOUS)
    first = free_names("cn", kinds, NOW, ())
    assert first == ("cn__incoming_20261124-030000", "cn__previous_20261124-030000")
    # the two belong together, so one that is taken takes the other with it
    second = free_names("cn", kinds, NOW, {first[1]})
    assert second == ("cn__incoming_20261124-030000-2", "cn__previous_20261124-030000-2")
    assert free_names("cn", kinds, NOW, {first[1], second[0]})[0].endswith("-3")


@given(st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1)), st.integers(0, 500), st.integers(1, 400))
def test_ids_sort_as_they_were_made(then: datetime, taken: int, seconds: int) -> None:
    first = then.replace(tzinfo=UTC)
    made = [new_id(first, taken), new_id(first, taken + 1), new_id(first + timedelta(seconds=seconds))]
    assert sorted([made[2], made[0], made[1]], key=sort_key) == made
