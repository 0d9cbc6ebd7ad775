"""What `--dump` means: `latest`, an id or a path, whatever people type."""

from __future__ import annotations

from pathlib import Path

import pytest

from cn_ops.errors import UsageError, VerificationFailed
from cn_ops.settings import BackupSettings
from cn_ops.source import find_source
from tests.support.generations import NEWEST, PREFIX, put_generation

OLDER = "20261123-030000"


@pytest.fixture
def settings(tmp_path: Path) -> BackupSettings:
    return BackupSettings(directory=tmp_path / "backups", prefix=PREFIX)


def test_latest_and_an_id_lead_to_a_generation(settings: BackupSettings, tmp_path: Path) -> None:
    put_generation(settings.directory, OLDER)
    newest = put_generation(settings.directory)
    assert find_source(settings, "latest", tmp_path).path == newest
    assert find_source(settings, OLDER, tmp_path).manifest is not None


def test_latest_is_of_the_database_and_of_its_cluster_where_there_is_one(
    settings: BackupSettings, tmp_path: Path
) -> None:
    own = put_generation(settings.directory, OLDER, system_identifier="7")
    newer = put_generation(settings.directory, "20261124-010000", system_identifier="8")
    other = put_generation(settings.directory, database="other")
    found = {
        origin: find_source(settings, "latest", tmp_path, database=origin[0], cluster=origin[1]).path
        for origin in (("cn", "7"), ("cn", "9"), ("cn", None), ("other", "7"), ("", None))
    }
    assert list(found.values()) == [own, newer, newer, other, other]
    assert find_source(settings, NEWEST, tmp_path, database="cn").path == other, "one that is named is taken"
    assert find_source(settings, "latest", tmp_path, database="third", or_any=True).path == other
    (settings.directory / own.name).write_bytes(b"cut")
    assert find_source(settings, "latest", tmp_path, database="cn", cluster="7").path == newer
    with pytest.raises(UsageError, match="of the database 'third'") as failed:
        find_source(settings, "latest", tmp_path, database="third")
    assert NEWEST in failed.value.hint


def test_path_of_a_generations_dump_finds_its_manifest(settings: BackupSettings, tmp_path: Path) -> None:
    dump = put_generation(settings.directory)
    for typed in (str(dump), f"backups/{dump.name}", f"./backups/../backups/{dump.name}"):
        assert find_source(settings, typed, tmp_path).manifest is not None


@pytest.mark.parametrize(
    "name",
    [
        "by hand",
        'it\'s "quoted"',
        "new\nline",
        "-dash",
        "日本語 🌸",
        "a=b",
        "$(touch x)",
        "semi;colon",
        "*",
        "a.dump",
    ],
)
def test_file_of_any_name_is_taken_as_it_is(name: str, settings: BackupSettings, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"PGDMP")
    found = find_source(settings, name, tmp_path)
    assert (found.path, found.generation) == (tmp_path / name, None)


def test_path_that_leads_upwards_is_a_path(settings: BackupSettings, tmp_path: Path) -> None:
    (tmp_path / "x.dump").write_bytes(b"PGDMP")
    (tmp_path / "inside").mkdir()
    assert find_source(settings, "../x.dump", tmp_path / "inside").path.resolve() == tmp_path / "x.dump"


@pytest.mark.parametrize("typed", ["gone.dump", "../gone", "/nowhere/at/all", "~nobody-knows-this-user/x"])
def test_what_is_meant_as_a_path_stays_one_when_it_is_not_there(
    typed: str, settings: BackupSettings, tmp_path: Path
) -> None:
    assert find_source(settings, typed, tmp_path).generation is None


def test_home_is_the_users_home(settings: BackupSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_source(settings, "~/x.dump", Path("/")).path == tmp_path / "x.dump"


@pytest.mark.parametrize("typed", ["yesterday", "20200101-000000", "LATEST", "", "--", "x" * 200])
def test_what_is_nothing_at_all_is_refused_with_the_ids_that_there_are(
    typed: str, settings: BackupSettings, tmp_path: Path
) -> None:
    put_generation(settings.directory)
    with pytest.raises(UsageError) as failed:
        find_source(settings, typed, tmp_path)
    assert repr(typed) in failed.value.message
    assert NEWEST in failed.value.hint
    assert failed.value.state == "nothing was changed"


def test_name_too_long_for_a_file_is_an_error_for_people(settings: BackupSettings, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="too long") as failed:
        find_source(settings, "x" * 300, tmp_path)
    assert type(failed.value).__module__ == "cn_ops.errors"


def test_damaged_generation_is_refused_by_id_and_by_path(settings: BackupSettings, tmp_path: Path) -> None:
    dump = put_generation(settings.directory)
    dump.write_bytes(b"cut")
    for typed in (NEWEST, str(dump)):
        with pytest.raises(VerificationFailed, match="3 bytes") as failed:
            find_source(settings, typed, tmp_path)
        assert failed.value.state == "nothing was changed"


def test_empty_folder_is_named_when_an_id_is_not_found(settings: BackupSettings, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as failed:
        find_source(settings, NEWEST, tmp_path)
    assert str(settings.directory) in failed.value.hint
