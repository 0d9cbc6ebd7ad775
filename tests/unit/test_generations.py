"""The backup folder: what counts as a generation, what is somebody else's, and what a failure leaves."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from dataclasses import asdict
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cn_ops.errors import Interrupted, MissingError, OperationFailed, UsageError
from cn_ops.generations import (
    NOTHING_MADE,
    Draft,
    draft,
    find_generation,
    generation_of,
    read_catalogue,
    remove_generation,
    remove_left_behind,
)
from cn_ops.model import GenerationState
from cn_ops.names import new_id, sort_key
from cn_ops.prune import prune
from cn_ops.retention import Keep
from cn_ops.settings import BackupSettings
from tests.support.generations import CONTENT, NEWEST, PREFIX, fingerprint, manifest, put_generation

NOW = datetime(2026, 11, 24, 3, 0, 0, tzinfo=UTC)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def problem(folder: Path) -> str:
    (one,) = read_catalogue(folder, PREFIX).generations
    assert one.state is GenerationState.DAMAGED
    return one.problem


def test_id_is_the_time_in_utc_and_numbered_within_a_second() -> None:
    japan = NOW.astimezone(timezone(timedelta(hours=9)))
    assert [new_id(japan, taken) for taken in range(3)] == [NEWEST, f"{NEWEST}-2", f"{NEWEST}-3"]


@given(st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1)), st.integers(0, 500), st.integers(1, 400))
def test_ids_sort_as_they_were_made(then: datetime, taken: int, seconds: int) -> None:
    first = then.replace(tzinfo=UTC)
    later = first + timedelta(seconds=seconds)
    made = [new_id(first, taken), new_id(first, taken + 1), new_id(later)]
    assert sorted([made[2], made[0], made[1]], key=sort_key) == made


def test_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    catalogue = read_catalogue(tmp_path / "none", PREFIX)
    assert (catalogue.generations, catalogue.foreign) == ((), ())
    assert not (tmp_path / "none").exists()


def test_generations_are_listed_newest_first(tmp_path: Path) -> None:
    for one in ("20261123-030000", f"{NEWEST}-10", NEWEST, f"{NEWEST}-9"):
        put_generation(tmp_path, one)
    found = read_catalogue(tmp_path, PREFIX)
    assert [one.id for one in found.complete] == [f"{NEWEST}-10", f"{NEWEST}-9", NEWEST, "20261123-030000"]


def test_files_of_others_are_named_and_never_counted(tmp_path: Path) -> None:
    put_generation(tmp_path)
    strangers = {
        "notes.txt",
        "node-20261123-030000.dump",  # no manifest: made by hand, or by the old script
        "other-20261123-030000.manifest.json",
        "node-yesterday.manifest.json",
        f"x{PREFIX}-{NEWEST}.manifest.json",
        "日本 \n語'.dump",
    }
    for name in strangers:
        (tmp_path / name).write_bytes(b"")
    catalogue = read_catalogue(tmp_path, PREFIX)
    assert {path.name for path in catalogue.foreign} == strangers
    assert len(catalogue.generations) == 1


def test_folder_in_the_place_of_a_file_is_foreign(tmp_path: Path) -> None:
    put_generation(tmp_path)
    (tmp_path / "a folder").mkdir()
    (tmp_path / f"{PREFIX}-20261123-030000.manifest.json").mkdir()
    catalogue = read_catalogue(tmp_path, PREFIX)
    assert [one.id for one in catalogue.complete] == [NEWEST]
    assert tmp_path / "a folder" in catalogue.foreign


def test_prefix_is_taken_literally(tmp_path: Path) -> None:
    put_generation(tmp_path)
    assert read_catalogue(tmp_path, "n.de").generations == ()


def test_dump_that_is_gone_makes_a_damaged_generation(tmp_path: Path) -> None:
    put_generation(tmp_path).unlink()
    assert "gone" in problem(tmp_path)


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT + b"!"])
def test_dump_of_another_size_makes_a_damaged_generation(content: bytes, tmp_path: Path) -> None:
    put_generation(tmp_path).write_bytes(content)
    assert f"{len(content)} bytes" in problem(tmp_path)


def test_garbage_manifest_makes_a_damaged_generation(tmp_path: Path) -> None:
    put_generation(tmp_path)
    (tmp_path / f"{PREFIX}-{NEWEST}.manifest.json").write_text("{")
    assert "not JSON" in problem(tmp_path)


def test_manifest_of_a_newer_version_makes_a_generation_that_is_not_touched(tmp_path: Path) -> None:
    put_generation(tmp_path)
    path = tmp_path / f"{PREFIX}-{NEWEST}.manifest.json"
    path.write_text(json.dumps({**asdict(manifest()), "manifest_version": 2}))
    assert "newer cn-ops" in problem(tmp_path)
    prune(BackupSettings(directory=tmp_path, prefix=PREFIX), Keep(1))
    assert path.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "20200101-000000"},
        {"dump_file": f"{PREFIX}-20200101-000000.dump"},
        {"globals_file": f"{PREFIX}-20200101-000000.globals.sql"},
        {"globals_file": "notes.txt"},
        {"globals_file": "../notes.txt"},
        {"globals_file": "/etc/hosts"},
    ],
)
def test_manifest_that_speaks_of_other_files_makes_a_damaged_generation(
    changes: dict[str, str], tmp_path: Path
) -> None:
    put_generation(tmp_path, **changes)
    assert "manifest" in problem(tmp_path)


def test_damaged_generation_is_not_counted_and_not_pruned(tmp_path: Path) -> None:
    put_generation(tmp_path, "20261121-030000")
    put_generation(tmp_path, "20261122-030000")
    put_generation(tmp_path, "20261123-030000").write_bytes(b"cut")
    put_generation(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    prune(BackupSettings(directory=tmp_path, prefix=PREFIX), Keep(2))
    found = read_catalogue(tmp_path, PREFIX)
    assert [one.id for one in found.generations] == [NEWEST, "20261123-030000", "20261122-030000"]
    assert (tmp_path / "notes.txt").exists()


def test_dry_run_of_pruning_removes_nothing(tmp_path: Path) -> None:
    put_generation(tmp_path, "20261123-030000")
    put_generation(tmp_path)
    before = names(tmp_path)
    decisions = prune(BackupSettings(directory=tmp_path, prefix=PREFIX), Keep(1), dry_run=True).decisions
    assert [one.keep for one in decisions] == [True, False]
    assert names(tmp_path) == before


def test_removed_generation_leaves_no_file(tmp_path: Path) -> None:
    put_generation(tmp_path, globals_file=f"{PREFIX}-{NEWEST}.globals.sql")
    (tmp_path / f"{PREFIX}-{NEWEST}.globals.sql").write_text("CREATE ROLE cn;")
    (one,) = read_catalogue(tmp_path, PREFIX).generations
    remove_generation(one)
    assert names(tmp_path) == set()


def test_generation_whose_manifest_is_removed_does_not_exist(tmp_path: Path) -> None:
    dump = put_generation(tmp_path)
    (one,) = read_catalogue(tmp_path, PREFIX).generations
    assert one.files[0] == one.manifest_file
    one.manifest_file.unlink()
    found = read_catalogue(tmp_path, PREFIX)
    assert (found.generations, found.foreign) == ((), (dump,))


def test_latest_is_the_newest_complete_one(tmp_path: Path) -> None:
    put_generation(tmp_path, "20261123-030000")
    put_generation(tmp_path).write_bytes(b"cut")
    found = find_generation(read_catalogue(tmp_path, PREFIX), "latest")
    assert found is not None
    assert found.id == "20261123-030000"


def test_latest_of_an_empty_folder_names_the_folder_and_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=tmp_path.name) as failed:
        find_generation(read_catalogue(tmp_path, PREFIX), "latest")
    assert "inv backup" in failed.value.hint


def test_generation_is_found_by_its_id_or_not_at_all(tmp_path: Path) -> None:
    put_generation(tmp_path)
    catalogue = read_catalogue(tmp_path, PREFIX)
    found = find_generation(catalogue, NEWEST)
    assert found is not None
    assert found.id == NEWEST
    assert find_generation(catalogue, "20200101-000000") is None


def test_dump_named_by_its_path_finds_its_manifest(tmp_path: Path) -> None:
    dump = put_generation(tmp_path)
    found = generation_of(dump)
    assert found is not None
    assert found.manifest == manifest()
    assert generation_of(tmp_path / "by hand.dump") is None
    assert generation_of(tmp_path / f"{PREFIX}-20200101-000000.dump") is None


def publish(made: Draft) -> Path:
    made.dump.write(CONTENT)
    made.globals.write(b"CREATE ROLE cn;")
    made.sync()
    return made.publish(
        manifest(
            made.id,
            dump_file=made.path(".dump").name,
            globals_file=made.path(".globals.sql").name,
        ),
        fingerprint(),
    )


def test_published_draft_is_a_generation_that_only_its_owner_can_read(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "backups"
    with draft(folder, PREFIX, NOW) as made:
        publish(made)
    (one,) = read_catalogue(folder, PREFIX).complete
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name for path in one.files} == names(folder) | {one.proof_file.name}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_drafts_of_one_second_do_not_collide(tmp_path: Path) -> None:
    for _ in range(3):
        with draft(tmp_path, PREFIX, NOW) as made:
            publish(made)
    found = read_catalogue(tmp_path, PREFIX)
    assert [one.id for one in found.complete] == [f"{NEWEST}-3", f"{NEWEST}-2", NEWEST]


def test_drafts_under_way_in_one_second_do_not_collide(tmp_path: Path) -> None:
    with draft(tmp_path, PREFIX, NOW) as first, draft(tmp_path, PREFIX, NOW) as second:
        assert (first.id, second.id) == (NEWEST, f"{NEWEST}-2")
        publish(second)
        publish(first)
    assert len(read_catalogue(tmp_path, PREFIX).complete) == 2


def test_draft_does_not_take_the_name_of_a_dump_without_a_manifest(tmp_path: Path) -> None:
    by_hand = tmp_path / f"{PREFIX}-{NEWEST}.dump"
    by_hand.write_bytes(b"mine")
    with draft(tmp_path, PREFIX, NOW) as made:
        publish(made)
    assert made.id == f"{NEWEST}-2"
    assert by_hand.read_bytes() == b"mine"


def test_draft_does_not_take_the_name_of_globals_without_a_manifest(tmp_path: Path) -> None:
    left = tmp_path / f"{PREFIX}-{NEWEST}.globals.sql"
    left.write_bytes(b"mine")
    with draft(tmp_path, PREFIX, NOW) as made:
        publish(made)
    assert left.read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("broken"), ValueError),
        (KeyboardInterrupt(), Interrupted),
        (OperationFailed("pg_dump failed"), OperationFailed),
    ],
)
@pytest.mark.parametrize("written", [b"", CONTENT])
def test_draft_that_is_not_published_leaves_nothing(
    error: BaseException, kind: type[BaseException], written: bytes, tmp_path: Path
) -> None:
    def fail() -> None:
        with draft(tmp_path, PREFIX, NOW) as made:
            made.dump.write(written)
            raise error

    with pytest.raises(kind) as failed:
        fail()
    assert isinstance(failed.value, ValueError) or getattr(failed.value, "state", "") == NOTHING_MADE
    assert names(tmp_path) == set()


def test_interruption_after_publishing_says_that_there_is_a_generation(tmp_path: Path) -> None:
    def interrupted() -> None:
        with draft(tmp_path, PREFIX, NOW) as made:
            publish(made)
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as failed:
        interrupted()
    assert "is complete" in failed.value.state
    assert len(read_catalogue(tmp_path, PREFIX).complete) == 1


@pytest.mark.parametrize("point", ["globals", "dump", "folder", "manifest"])
def test_failure_while_publishing_leaves_nothing(point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = {"globals": 0, "dump": 1}

    def no_space(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    rename, renamed = Path.rename, []

    def failing_rename(path: Path, target: Path) -> Path:
        renamed.append(path)
        if len(renamed) - 1 == calls.get(point):
            no_space()
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing_rename)
    if point == "folder":
        monkeypatch.setattr("cn_ops.generations.sync_folder", no_space)
    if point == "manifest":
        monkeypatch.setattr(Path, "replace", no_space)
    with pytest.raises(MissingError, match="No space left") as failed, draft(tmp_path, PREFIX, NOW) as made:
        publish(made)
    monkeypatch.undo()
    remove_left_behind(tmp_path, PREFIX)  # a folder that could not be synced keeps the mark until then
    assert names(tmp_path) == set()
    assert "no generation" in failed.value.state
    assert failed.value.hint


def test_generation_whose_removal_was_cut_short_is_none_and_goes_next_time(tmp_path: Path) -> None:
    dump = put_generation(tmp_path)
    manifest_file = dump.with_name(dump.name.replace(".dump", ".manifest.json"))
    globals_file = dump.with_name(dump.name.replace(".dump", ".globals.sql"))
    globals_file.write_bytes(b"secret")
    manifest_file.rename(tmp_path / f".{manifest_file.name}.partial")
    found = read_catalogue(tmp_path, PREFIX)
    assert (found.generations, found.foreign) == ((), ())  # nothing of it is left alone
    remove_left_behind(tmp_path, PREFIX)
    assert names(tmp_path) == set()


def test_mark_beside_a_manifest_takes_nothing_with_it(tmp_path: Path) -> None:
    dump = put_generation(tmp_path)
    before = names(tmp_path)
    (tmp_path / f".{dump.name.replace('.dump', '.manifest.json')}.partial").touch()
    remove_left_behind(tmp_path, PREFIX)
    assert names(tmp_path) == before


def test_dump_without_a_mark_is_not_ours_to_remove(tmp_path: Path) -> None:
    by_hand = tmp_path / f"{PREFIX}-{NEWEST}.dump"
    by_hand.write_bytes(CONTENT)
    remove_left_behind(tmp_path, PREFIX)
    assert names(tmp_path) == {by_hand.name}


def test_what_a_killed_backup_left_is_removed_and_what_a_live_one_writes_is_not(tmp_path: Path) -> None:
    dead = tmp_path / f".{PREFIX}-20261123-030000.dump.partial"
    manifest_aside = tmp_path / f".{PREFIX}-20261123-030000.manifest.json.k3_x.partial"
    stranger = tmp_path / ".other-20261123-030000.dump.partial"
    live = tmp_path / f".{PREFIX}-20261123-040000.dump.partial"
    for path in (dead, manifest_aside, stranger, live):
        path.write_bytes(b"half")
    descriptor = os.open(live, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with draft(tmp_path, PREFIX, NOW):
            assert not dead.exists()
            assert not manifest_aside.exists()
            assert stranger.exists()
            assert live.exists()
    finally:
        os.close(descriptor)


def test_mark_of_a_longer_prefix_is_not_ours(tmp_path: Path) -> None:
    mark = tmp_path / f".{PREFIX}-b-{NEWEST}.manifest.json.partial"
    mark.write_bytes(b"")
    with draft(tmp_path, PREFIX, NOW):
        assert mark.exists()
    with draft(tmp_path, f"{PREFIX}-b", NOW + timedelta(days=1)):
        assert not mark.exists()


def test_partial_files_are_neither_generations_nor_foreign(tmp_path: Path) -> None:
    (tmp_path / f".{PREFIX}-{NEWEST}.dump.partial").write_bytes(b"half")
    found = read_catalogue(tmp_path, PREFIX)
    assert (found.generations, found.foreign) == ((), ())


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OperationFailed, match="file"), draft(tmp_path / "file" / "backups", PREFIX, NOW):
        pass
