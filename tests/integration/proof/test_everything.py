"""A database with every kind of object that PostgreSQL has is backed up, restored and proven, with no false alarm."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from cn_ops.differences import compare
from cn_ops.fingerprint import Stripped
from cn_ops.manifest import read_fingerprint
from cn_ops.model import BackupResult, GenerationState, RestoreResult, VerifyResult
from cn_ops.phases import Phases, Silent
from cn_ops.postgres.fingerprint import take
from cn_ops.proof import Subject, prove
from cn_ops.source import find_source
from cn_ops.verify import verify
from tests.integration.proof.conftest import NewSite, Site
from tests.support.nodes import content
from tests.support.operations import back_up, bring_back

HERE = Path(__file__).parent
SECRETS = re.compile(r"[a-z]+-secret-\d")
# What frames a dump, and the one clause that PostgreSQL writes otherwise after a round trip.
FRAME = re.compile(r"^(\\(un)?restrict .*|-- (Dumped|Started).*)$|CHECK .*", re.MULTILINE)


@dataclass(frozen=True)
class RoundTrip:
    """A site before and after its restore; the original goes on as the previous database."""

    site: Site
    made: BackupResult
    verified: VerifyResult
    restored: RestoreResult

    def schema(self, database: str) -> str:
        text = self.site.stack.tool(["pg_dump", "--schema-only", f"--dbname={database}"]).stdout
        return FRAME.sub("", text)


def fill(site: Site, name: str) -> None:
    script = site.node.folder / name
    script.write_text(site.filled_in((HERE / name).read_text()))
    with script.open("rb") as stream:
        argv = ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={site.database}"]
        site.stack.tool(argv, stdin=stream)


@pytest.fixture(scope="module")
def round_trip(new_site: NewSite, major: int) -> RoundTrip:
    site = new_site()
    fill(site, "everything.sql")
    if major >= 18:
        fill(site, "everything_18.sql")
    made = back_up(site.node)
    settings = site.node.settings
    source = find_source(settings.backup, "latest", Path("/"))
    verified = verify(site.stack, source, settings.restore, Phases(Silent()))
    return RoundTrip(site, made, verified, bring_back(site.node))


def test_there_is_everything_to_lose(round_trip: RoundTrip) -> None:
    kinds = {one.type for one in take(round_trip.site.stack, round_trip.site.database).objects}
    assert len(kinds) > 45
    assert round_trip.made.manifest.rows > 60


def test_it_is_restored_beside_and_found_equal(round_trip: RoundTrip) -> None:
    assert round_trip.restored.rows == round_trip.made.manifest.rows
    assert round_trip.restored.previous


def test_it_is_proven_in_a_scratch_server(round_trip: RoundTrip) -> None:
    assert round_trip.verified.proof.rows == round_trip.made.manifest.rows
    source = find_source(round_trip.site.node.settings.backup, "latest-proven", Path("/"))
    assert source.generation
    assert source.generation.state is GenerationState.PROVEN


def test_extension_of_an_older_version_is_told_and_keeps_nothing_from_being_restored(
    round_trip: RoundTrip, major: int
) -> None:
    """A dump says which extensions there are, and not of which version: the server brings its own."""
    owner = round_trip.site.node.settings.stack.postgres.user
    expected = (f"extension citext as version 1.6, schema kinds, owner {owner}",) if major >= 18 else ()
    assert round_trip.restored.stripped == expected


def test_rows_are_the_same_for_somebody_who_does_not_use_our_fingerprint(round_trip: RoundTrip) -> None:
    site, previous = round_trip.site, str(round_trip.restored.previous)
    there = content(site.stack, site.database)
    assert len(there) > 40
    assert there == content(site.stack, previous)


def test_schema_is_the_same_for_somebody_who_does_not_use_our_fingerprint(round_trip: RoundTrip) -> None:
    site, previous = round_trip.site, str(round_trip.restored.previous)
    assert sorted(round_trip.schema(site.database).splitlines()) == sorted(round_trip.schema(previous).splitlines())


def test_restored_database_backed_up_again_has_the_same_fingerprint(round_trip: RoundTrip) -> None:
    """From the second round trip on, not even a CHECK reads otherwise."""
    site = round_trip.site
    before = take(site.stack, site.database)
    back_up(site.node)
    bring_back(site.node)
    assert compare(before, take(site.stack, site.database)).differences == ()


def test_no_secret_and_no_row_is_in_the_manifest(round_trip: RoundTrip) -> None:
    text = round_trip.made.generation.manifest_file.read_text()
    assert SECRETS.findall(text) == []
    assert "MiXeD" not in text
    assert "after a hole" not in text


def test_owners_and_privileges_may_be_stripped_and_the_rest_is_equal(round_trip: RoundTrip) -> None:
    """Those of this database are all there, so nothing is told as stripped."""
    subject = Subject(
        round_trip.site.stack,
        round_trip.site.database,
        read_fingerprint(round_trip.made.generation.manifest_file),
        round_trip.made.dump,
    )
    comparison = prove(subject, Stripped(owners=True, privileges=True))
    assert comparison.differences == ()


def test_restore_without_owners_and_privileges_is_equal_but_for_these(new_site: NewSite) -> None:
    site = new_site(restore={"owners": False, "privileges": False})
    fill(site, "everything.sql")
    back_up(site.node)
    told = bring_back(site.node).stripped
    assert [re.sub(r"\d+", "N", one) for one in told][:2] == ["privileges of N objects", "owners of N objects"]


def test_it_is_restored_in_its_own_place_too(new_site: NewSite) -> None:
    site = new_site(restore={"strategy": "recreate"})
    fill(site, "everything.sql")
    before = content(site.stack, site.database)
    back_up(site.node)
    assert bring_back(site.node).previous is None
    assert content(site.stack, site.database) == before
