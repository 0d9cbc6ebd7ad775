"""A generation is proven by a record of its very dump, and by nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cn_ops.errors import OperationFailed, UsageError
from cn_ops.fingerprint import FINGERPRINT_VERSION
from cn_ops.generations import find_generation, read_catalogue, remove_generation
from cn_ops.manifest import read_fingerprint, read_proof
from cn_ops.model import Catalogue, GenerationState
from cn_ops.verify import due
from tests.support.generations import NEWEST, PREFIX, fingerprint, proof, put_generation, put_proof

OLDEST, OLDER = "20261121-030000", "20261123-030000"


def states(folder: Path) -> list[GenerationState]:
    return [one.state for one in read_catalogue(folder, PREFIX).generations]


def test_proof_of_the_dump_makes_a_proven_generation(tmp_path: Path) -> None:
    put_proof(put_generation(tmp_path))
    (one,) = read_catalogue(tmp_path, PREFIX).proven
    assert one.proof == proof()
    assert read_catalogue(tmp_path, PREFIX).foreign == ()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"sha256": "x"}', json.dumps({**vars(proof()), "rows": "many"}), "\udcff"],
)
def test_what_is_no_proof_proves_nothing(text: str, tmp_path: Path) -> None:
    path = put_proof(put_generation(tmp_path))
    path.write_bytes(text.encode(errors="surrogateescape"))
    assert states(tmp_path) == [GenerationState.COMPLETE]


def test_proof_of_another_dump_proves_nothing(tmp_path: Path) -> None:
    put_proof(put_generation(tmp_path), sha256="0" * 64)
    assert states(tmp_path) == [GenerationState.COMPLETE]


def test_proof_does_not_mend_a_damaged_generation(tmp_path: Path) -> None:
    dump = put_generation(tmp_path)
    put_proof(dump)
    dump.write_bytes(b"cut")
    assert states(tmp_path) == [GenerationState.DAMAGED]


def test_removed_generation_takes_its_proof_with_it(tmp_path: Path) -> None:
    put_proof(put_generation(tmp_path))
    remove_generation(read_catalogue(tmp_path, PREFIX).generations[0])
    assert list(tmp_path.iterdir()) == []


def test_proof_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert read_proof(tmp_path / "gone.proof.json", "x") is None


def chosen(folder: Path, wanted: str) -> str:
    found = find_generation(read_catalogue(folder, PREFIX), wanted)
    assert found
    return found.id


def test_latest_proven_is_the_newest_that_is_proven(tmp_path: Path) -> None:
    for one in (OLDEST, OLDER):
        put_proof(put_generation(tmp_path, one))
    put_generation(tmp_path)
    assert chosen(tmp_path, "latest-proven") == OLDER
    assert chosen(tmp_path, "latest") == NEWEST


@pytest.mark.parametrize(("wanted", "way_out"), [("latest-proven", "inv verify"), ("random", "inv backup")])
def test_nothing_to_choose_from_is_an_error_with_the_way_out(wanted: str, way_out: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as failed:
        find_generation(read_catalogue(tmp_path, PREFIX), wanted)
    assert way_out in failed.value.hint


def test_random_takes_those_never_proven_first_and_each_of_them_sooner_or_later(tmp_path: Path) -> None:
    put_proof(put_generation(tmp_path, "20261120-030000"))
    put_generation(tmp_path, "20261119-030000").write_bytes(b"cut")
    for one in (OLDEST, OLDER, NEWEST):
        put_generation(tmp_path, one)
    catalogue = read_catalogue(tmp_path, PREFIX)
    # By chance one of three is missed in 100 draws once in 10^17 times.
    drawn = {found.id for _ in range(100) if (found := find_generation(catalogue, "random"))}
    assert drawn == {OLDEST, OLDER, NEWEST}


def test_random_takes_the_one_not_proven_for_longest_when_all_are(tmp_path: Path) -> None:
    for one, day in ((OLDEST, 24), (OLDER, 22), (NEWEST, 23)):
        put_proof(put_generation(tmp_path, one), proven_at=f"2026-11-{day}T04:00:00Z")
    assert {chosen(tmp_path, "random") for _ in range(20)} == {OLDER}


def catalogue_with_proofs(folder: Path) -> Catalogue:
    put_proof(put_generation(folder, OLDEST), proven_at="2026-11-01T00:00:00Z")
    put_proof(put_generation(folder, OLDER), proven_at="2026-11-23T00:00:00Z")
    put_generation(folder)
    return read_catalogue(folder, PREFIX)


@pytest.mark.parametrize(
    ("older_than", "ids"),
    [
        (None, [NEWEST, OLDER, OLDEST]),
        (timedelta(days=7), [NEWEST, OLDEST]),
        (timedelta(days=30), [NEWEST]),
        (timedelta(days=0), [NEWEST, OLDER, OLDEST]),
    ],
)
def test_those_not_proven_for_so_long_are_due(older_than: timedelta | None, ids: list[str], tmp_path: Path) -> None:
    found = catalogue_with_proofs(tmp_path).complete
    assert [one.id for one in due(found, older_than, datetime(2026, 11, 24, tzinfo=UTC))] == ids


def test_proof_that_a_wrong_clock_has_dated_in_the_future_comes_due(tmp_path: Path) -> None:
    for one, day in ((OLDEST, "2026-11-01"), (OLDER, "2099-01-01")):
        put_proof(put_generation(tmp_path, one), proven_at=f"{day}T00:00:00Z")
    found = read_catalogue(tmp_path, PREFIX).complete
    assert [one.id for one in due(found, timedelta(days=30), datetime(2026, 11, 24, tzinfo=UTC))] == [OLDER]
    assert {chosen(tmp_path, "random") for _ in range(20)} == {OLDER}


def test_fingerprint_comes_back_from_the_manifest_as_it_was(tmp_path: Path) -> None:
    put_generation(tmp_path)
    assert read_fingerprint(tmp_path / f"{PREFIX}-{NEWEST}.manifest.json") == fingerprint()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"fingerprint_version": FINGERPRINT_VERSION + 1}, "version"),
        ({"tables": [{"name": "x"}]}, "tables"),
        ({"large_objects": None}, "large_objects"),
        ({"fingerprint_version": None}, "version None"),
    ],
)
def test_fingerprint_that_is_not_understood_is_refused(change: dict[str, Any], problem: str, tmp_path: Path) -> None:
    put_generation(tmp_path)
    path = tmp_path / f"{PREFIX}-{NEWEST}.manifest.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "fingerprint": {**document["fingerprint"], **change}}))
    with pytest.raises(OperationFailed, match=problem):
        read_fingerprint(path)


def test_manifest_without_a_fingerprint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.manifest.json"
    path.write_text("{}")
    with pytest.raises(OperationFailed, match="holds no fingerprint"):
        read_fingerprint(path)
