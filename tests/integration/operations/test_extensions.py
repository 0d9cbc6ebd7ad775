"""Extensions come back in the version that was there; one that the server lacks is known before all else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cn_ops.errors import MissingError
from tests.support.nodes import Node
from tests.support.operations import back_up, bring_back, tells_everything

VERSIONS = "SELECT extversion FROM pg_extension WHERE extname = 'hstore'"


@pytest.fixture
def path_of_own_extension(either_way: Node) -> Iterator[str]:
    """Where one session may find an extension that the server does not have; it is one of PostgreSQL 18."""
    folder: Path = either_way.stack._layout.cluster / f"the extensions of {either_way.database}"
    own = folder / "extension"
    own.mkdir(parents=True)
    (own / "brief.control").write_text("default_version = '1.0'\n")
    (own / "brief--1.0.sql").write_text("CREATE FUNCTION brief() RETURNS int RETURN 1;\n")
    for path, mode in ((folder, 0o755), (own, 0o755), *((one, 0o644) for one in own.iterdir())):
        path.chmod(mode)
    yield f"$system:{folder}"
    shutil.rmtree(folder)


def test_older_version_comes_back(either_way: Node) -> None:
    either_way.rows("CREATE EXTENSION hstore VERSION '1.7'")
    back_up(either_way)
    either_way.rows("ALTER EXTENSION hstore UPDATE")
    result = bring_back(either_way)
    assert either_way.rows(VERSIONS) == [("1.7",)]
    assert not any("hstore" in one for one in (*result.stripped, *result.warnings))


def test_older_version_comes_back_with_what_it_needs(site: Node) -> None:
    site.rows("CREATE EXTENSION cube; CREATE EXTENSION earthdistance VERSION '1.1'")
    back_up(site)
    result = bring_back(site)
    assert site.rows(VERSIONS.replace("hstore", "earthdistance")) == [("1.1",)]
    assert result.stripped == ()


def test_older_version_in_a_schema_that_the_dump_makes_is_told_as_left_out(site: Node) -> None:
    site.rows("CREATE SCHEMA apart; CREATE EXTENSION hstore SCHEMA apart VERSION '1.7'")
    back_up(site)
    result = bring_back(site)
    assert site.rows(VERSIONS) == [("1.8",)]
    assert any("hstore 1.7 comes back as 1.8" in one for one in result.warnings)
    assert any("extension hstore as" in one for one in result.stripped)


def test_missing_extension_is_noticed_before_anything_is_touched(
    either_way: Node, path_of_own_extension: str
) -> None:
    before = either_way.content()
    either_way.rows(f"SET extension_control_path = '{path_of_own_extension}'; CREATE EXTENSION brief")
    made = back_up(either_way)
    with pytest.raises(MissingError, match="brief") as failed:
        bring_back(either_way)
    assert tells_everything(failed.value)
    assert "nothing was changed" in failed.value.state
    made.generation.manifest_file.unlink()  # then its table of contents says so
    with pytest.raises(MissingError, match="brief"):
        bring_back(either_way, made.dump)
    assert either_way.content() == before
    assert either_way.journal is None
