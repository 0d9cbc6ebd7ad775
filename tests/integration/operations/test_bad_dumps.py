"""Dumps that are none, are damaged, or do not fit: each is refused before anything is touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cn_ops.errors import OpsError, UsageError, VerificationFailed
from cn_ops.generations import generation_of
from tests.support.nodes import Node
from tests.support.operations import back_up, bring_back, tells_everything
from tests.support.ordinary import ordinary_user

Untouched = Callable[[str | Path, type[OpsError], str], OpsError]


@pytest.fixture
def untouched(site: Node) -> Untouched:
    """Restore what must be refused, and require that the live database is as it was and nothing is on record."""

    def refuse(dump: str | Path, kind: type[OpsError], said: str) -> OpsError:
        site.stack.start(site.stack.writers[:1])
        running, before, files = site.stack.running(), site.content()["cn_relay.events"], site.backup_files()
        with pytest.raises(kind, match=said) as failed:
            bring_back(site, dump)
        assert site.content()["cn_relay.events"] == before
        assert site.stack.running() == running
        assert site.backup_files() == files
        assert site.journal is None
        assert failed.value.state == "nothing was changed"
        assert tells_everything(failed.value)
        return failed.value

    return refuse


@pytest.fixture
def whole(site: Node) -> bytes:
    return back_up(site).dump.read_bytes()


@pytest.fixture
def plain(site: Node) -> bytes:
    """A dump without compression: a changed byte of a row is still a row."""
    site.change({"backup": {"compress": "0"}})
    return back_up(site).dump.read_bytes()


def by_hand(site: Node, content: bytes) -> Path:
    path = site.folder / "by hand.dump"
    path.write_bytes(content)
    return path


def test_dumps_cut_anywhere_are_noticed(site: Node, whole: bytes, untouched: Untouched) -> None:
    for size in (5, 40, 2000, len(whole) // 2, len(whole) * 9 // 10):
        error = untouched(by_hand(site, whole[:size]), VerificationFailed, "damaged")
        assert "by hand.dump" in error.message
        assert error.evidence


def test_one_flipped_byte_of_compressed_rows_is_noticed_without_a_manifest(
    site: Node, whole: bytes, untouched: Untouched
) -> None:
    place = len(whole) * 2 // 3
    flipped = whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]
    untouched(by_hand(site, flipped), VerificationFailed, "damaged")


def test_one_flipped_byte_of_uncompressed_rows_is_noticed_by_the_hash(
    site: Node, plain: bytes, untouched: Untouched
) -> None:
    dump = next(site.backups.glob("*.dump"))
    place = plain.index(b"kukuri", len(plain) // 2)
    dump.write_bytes(plain[:place] + b"K" + plain[place + 1 :])
    untouched("latest", VerificationFailed, "sha256")


def test_plain_sql_tar_and_directory_are_told_what_they_are(site: Node, untouched: Untouched) -> None:
    for letter, kind in (("p", "plain SQL"), ("t", "tar")):
        path = site.folder / f"{letter}.dump"
        with path.open("wb") as stream:
            site.stack.tool(["pg_dump", f"-F{letter}", site.database], stdout=stream)
        untouched(path, UsageError, kind)
    folder = site.folder / "directory.dump"
    site.stack.tool(["pg_dump", "-Fd", f"--file={folder}", site.database])
    untouched(folder, UsageError, "directory format")


def test_dump_of_a_newer_server_is_refused_by_its_own_header(site: Node, whole: bytes, untouched: Untouched) -> None:
    ((version,),) = site.rows("SHOW server_version")
    newer = "99" + version[2:]
    assert whole.count(version.encode(), 0, 200) == 2
    error = untouched(
        by_hand(site, whole.replace(version.encode(), newer.encode(), 1)), UsageError, f"PostgreSQL {newer}"
    )
    assert version in error.message


def test_dump_of_a_newer_pg_dump_is_not_called_damaged(site: Node, whole: bytes, untouched: Untouched) -> None:
    minor_version = 6  # of the archive's format, after the mark and the major one
    newer = whole[:minor_version] + bytes([99]) + whole[minor_version + 1 :]
    error = untouched(by_hand(site, newer), UsageError, "a newer pg_dump")
    assert "1.99" in error.evidence


def test_dump_that_is_missing_empty_or_something_else(site: Node, untouched: Untouched) -> None:
    untouched("gone.dump", UsageError, "not there")
    untouched(by_hand(site, b""), VerificationFailed, "empty")
    untouched(by_hand(site, b"PGDMP"), VerificationFailed, "damaged")
    untouched(by_hand(site, bytes(5000)), UsageError, "no dump in pg_dump's custom format")
    untouched(site.folder, UsageError, "a directory")


def test_dump_of_another_generation_under_a_manifest_is_noticed(site: Node, untouched: Untouched) -> None:
    first = back_up(site)
    site.rows("DELETE FROM cn_relay.event_topics")
    second = back_up(site)
    first.dump.write_bytes(second.dump.read_bytes())
    untouched(first.generation.id, VerificationFailed, "damaged")


@pytest.mark.parametrize("strategy", ["beside", "recreate"])
def test_generation_whose_fingerprint_is_damaged_is_refused_before_anything_is_touched(
    strategy: str, site: Node, untouched: Untouched
) -> None:
    site.change({"restore": {"strategy": strategy, "owners": False, "privileges": False}})
    made = back_up(site)
    manifest = made.generation.manifest_file
    text = manifest.read_bytes()
    middle = len(text) - len(text) // 3
    manifest.write_bytes(text[:middle] + bytes(200) + text[middle + 200 :])
    error = untouched(made.generation.id, VerificationFailed, "not JSON")
    assert "inv backups" in (error.hint or "")


@pytest.mark.parametrize("name", ['it\'s a "dump"', "new\nline.dump", "-dash", "--help", "$(touch x);&", "日本"])
def test_dump_of_any_name_is_restored(name: str, site: Node, whole: bytes) -> None:
    before = site.content()
    (site.folder / name).write_bytes(whole)
    site.rows("DELETE FROM cn_relay.event_topics")
    bring_back(site, name)
    assert site.content() == before
    assert not (site.folder / "x").exists()


def test_dump_above_the_folder_is_restored(site: Node, whole: bytes) -> None:
    (site.folder.parent / "above.dump").write_bytes(whole)
    assert bring_back(site, "../above.dump").source.name == "above.dump"
    assert generation_of(site.folder.parent / "above.dump") is None


UNREADABLE = """
import sys
from pathlib import Path
from cn_ops.errors import OpsError
from cn_ops.postgres.archive import check_file
from cn_ops.settings import BackupSettings
from cn_ops.source import find_source
closed = Path("closed"); closed.mkdir()
for path in (Path("x.dump"), closed / "x.dump"):
    path.write_bytes(b"PGDMP")
Path("x.dump").chmod(0)
closed.chmod(0)
for name in ("x.dump", "closed/x.dump"):
    try:
        check_file(find_source(BackupSettings(directory=Path("none")), name, Path.cwd()).path)
    except OpsError as error:
        print(int(error.exit_code), error.message, "|", error.state, "|", error.hint)
closed.chmod(0o700)
"""


def test_dump_that_this_user_may_not_read_is_named() -> None:
    with ordinary_user() as user:
        done = user.run(UNREADABLE)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    for line in (first, second):
        assert line.startswith("2 cannot read")
        assert line.endswith(
            "Permission denied | nothing was changed | make it readable for this user, or name another"
        )
