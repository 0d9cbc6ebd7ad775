"""Damage of every kind that anybody has thought of is noticed, and named; what is harmless is not."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from cn_ops.fingerprint import Comparison, Difference, Stripped
from cn_ops.manifest import read_fingerprint
from cn_ops.postgres import alter
from cn_ops.postgres.database import properties
from cn_ops.postgres.load import load
from cn_ops.postgres.session import session
from cn_ops.proof import Subject, prove
from tests.integration.proof.conftest import NewSite, Site
from tests.integration.proof.damages import DAMAGES, HARMLESS, Damage
from tests.support.nodes import connected
from tests.support.operations import back_up

EVERYTHING = (*DAMAGES, *HARMLESS)
SCHEMAS = {one.title: f"d_{number:03}" for number, one in enumerate(EVERYTHING)}
LEAST_TRIED = 77


@dataclass(frozen=True)
class Damaged:
    """What the comparison said of a restored copy, before and after the damage."""

    major: int
    before: Comparison
    after: Comparison

    def named(self, schema: str) -> list[Difference]:
        return [one for one in self.after.differences if schema in one.what]


def possible(major: int) -> list[Damage]:
    return [one for one in EVERYTHING if one.since <= major]


def run(site: Site, database: str, damage: Damage, text: str) -> None:
    schema = SCHEMAS[damage.title]
    text = text.replace("{s}", schema)
    try:
        site.sql(f"SET search_path = {schema}, public; SET default_statistics_target = 100; {text}", database)
    except Exception as error:
        raise AssertionError(f"{damage.title}: {error}") from error


@pytest.fixture(scope="module")
def damaged(new_site: NewSite, major: int) -> Damaged:
    site = new_site()
    site.sql("CREATE EXTENSION citext; CREATE EXTENSION hstore")
    with connected(site.stack, site.database) as connection:
        connection.execute("SET allow_in_place_tablespaces = on")
        connection.execute(site.filled_in("CREATE TABLESPACE @prefix@_space LOCATION ''").encode())
    for one in possible(major):
        site.sql(f"CREATE SCHEMA {SCHEMAS[one.title]}")
        run(site, site.database, one, one.before)
    made = back_up(site.node)
    copy = f"{site.name}_copy"
    with session(site.stack, "postgres") as connection:
        alter.create(connection, copy, properties(connection, site.database))
    load(site.stack, copy, made.dump, owners=True, privileges=True)
    subject = Subject(site.stack, copy, read_fingerprint(made.generation.manifest_file), made.dump)
    before = prove(subject, Stripped())
    for one in possible(major):
        run(site, copy, one, one.after)
    return Damaged(major, before, prove(subject, Stripped()))


def test_undamaged_copy_is_equal(damaged: Damaged) -> None:
    assert damaged.before.differences == ()
    assert damaged.before.tables > LEAST_TRIED


@pytest.mark.parametrize("damage", DAMAGES, ids=[one.title for one in DAMAGES])
def test_damage_is_noticed_and_named(damage: Damage, damaged: Damaged) -> None:
    if damage.since > damaged.major:
        pytest.skip(f"PostgreSQL has it since {damage.since}")
    named = damaged.named(SCHEMAS[damage.title])
    assert named
    assert all(one.expected != one.found for one in named)


@pytest.mark.parametrize("damage", HARMLESS, ids=[one.title for one in HARMLESS])
def test_what_is_harmless_is_no_difference(damage: Damage, damaged: Damaged) -> None:
    assert damaged.named(SCHEMAS[damage.title]) == []


def test_nothing_is_named_that_was_not_damaged(damaged: Damaged) -> None:
    ours = [SCHEMAS[one.title] for one in DAMAGES]
    assert [one.what for one in damaged.after.differences if not any(schema in one.what for schema in ours)] == []


def test_no_damage_stands_in_for_another() -> None:
    assert len(SCHEMAS) == len(EVERYTHING)
    assert len(DAMAGES) >= LEAST_TRIED
