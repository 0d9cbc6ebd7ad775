"""Files that are complete or not there, and locks that name their holder."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import json
import os
import stat
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cn_ops import files
from cn_ops.errors import ExitCode, LockHeld, MissingError, OperationFailed, OpsError, UsageError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=["plain", "with a space", "日本語 🌸", 'it\'s "quoted"'])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    made = tmp_path / str(request.param)
    made.mkdir()
    return made


def test_published_file_is_its_owners_alone(folder: Path) -> None:
    files.publish(folder / "a file", b"\x00\xff")
    assert (folder / "a file").read_bytes() == b"\x00\xff"
    assert mode(folder / "a file") == 0o600
    assert [path.name for path in folder.iterdir()] == ["a file"]


def test_published_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "f"
    files.publish(path, b"old", mode=0o644)
    with path.open("rb") as reader:
        files.publish(path, b"new")
        assert reader.read() == b"old"  # who reads the old one reads all of it
    assert (path.read_bytes(), mode(path)) == (b"new", 0o600)


@pytest.mark.parametrize("step", ["os.fsync", "os.fchmod", "pathlib.Path.replace"])
def test_failing_publication_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "f"
    files.publish(path, b"old")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(step, refuse)
        with pytest.raises(MissingError, match=f"cannot write {path}: No space left on device") as refused:
            files.publish(path, b"new")
    assert refused.value.exit_code == ExitCode.MISSING
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_interrupted_publication_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    files.publish(path, b"old")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            files.publish(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_file_is_synced_before_it_is_renamed_and_its_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def note_fsync(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def note_replace(path: Path, target: str) -> None:
        done.append("rename")
        replace(path, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_replace)
    files.publish(tmp_path / "f", b"")
    assert done == ["file", "rename", "folder"]


def test_json_keeps_its_order_and_its_letters(tmp_path: Path) -> None:
    files.publish_json(tmp_path / "f", {"b": 1, "a": "日本"})
    assert (tmp_path / "f").read_text() == '{\n  "b": 1,\n  "a": "日本"\n}\n'


def test_what_a_killed_writer_left_aside_is_removed_and_what_is_written_now_is_not(tmp_path: Path) -> None:
    left, written, other = (tmp_path / name for name in (".f.aaa.partial", ".f.bbb.partial", ".g.ccc.partial"))
    for path in (left, written, other):
        path.write_bytes(b"half")
    with written.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        files.publish_alone(tmp_path / "f", {"a": 1})
    assert {path.name for path in tmp_path.iterdir()} == {"f", written.name, other.name}


def test_dataclasses_are_published_as_objects_and_what_cannot_be_is_not_there(tmp_path: Path) -> None:
    holder = files.Holder(1, "inv backup", "now")
    files.publish_json(tmp_path / "f", {"deep": [(holder,)]})
    assert json.loads((tmp_path / "f").read_text()) == {"deep": [[asdict(holder)]]}
    with pytest.raises(TypeError):
        files.publish_json(tmp_path / "f", [1, {2, 3}])
    assert json.loads((tmp_path / "f").read_text()) == {"deep": [[asdict(holder)]]}
    assert len(list(tmp_path.iterdir())) == 1


def test_publishing_where_there_is_no_folder_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(OperationFailed, match=r"cannot write .*nowhere/f"):
        files.publish(tmp_path / "nowhere" / "f", b"")


@pytest.mark.parametrize(
    ("number", "kind", "word"),
    [
        (errno.ENOSPC, MissingError, "free some space"),
        (errno.EDQUOT, MissingError, "free some space"),
        (errno.EACCES, UsageError, "make it writable"),
        (errno.EROFS, UsageError, "make it writable"),
        (errno.EIO, OperationFailed, ""),
    ],
)
def test_refusal_of_the_system_is_explained(number: int, kind: type[OpsError], word: str) -> None:
    error = files.explained(OSError(number, os.strerror(number)), Path("/a folder/f"), "write")
    assert type(error) is kind
    assert error.message == f"cannot write /a folder/f: {os.strerror(number)}"
    assert word in error.hint


def test_what_cannot_be_read_is_to_be_made_readable() -> None:
    error = files.explained(PermissionError(errno.EACCES, "Permission denied"), Path("f"), "read the journal")
    assert "make it readable" in error.hint


def test_private_folder_is_its_owners_alone(tmp_path: Path) -> None:
    made = files.private_folder(tmp_path / "a" / "b c")
    assert mode(made) == 0o700


def test_folder_that_exists_keeps_its_permissions(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir(mode=0o750)
    (tmp_path / "there").chmod(0o755)
    files.private_folder(tmp_path / "there")
    assert mode(tmp_path / "there") == 0o755


def test_file_where_a_folder_is_wanted_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    for path in (tmp_path / "f", tmp_path / "f" / "below"):
        with pytest.raises(OperationFailed, match="cannot make the folder"):
            files.private_folder(path)


def test_removed_file_is_gone_and_its_folder_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(files, "sync_folder", synced.append)
    (tmp_path / "f").write_text("")
    files.remove(tmp_path / "f")
    files.remove(tmp_path / "f")
    assert (list(tmp_path.iterdir()), synced) == ([], [tmp_path])


@given(st.binary(max_size=300), st.integers(1, 64))
def test_copy_is_whole_and_its_hash_is_right(data: bytes, chunk: int) -> None:
    target = io.BytesIO()
    told: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "CHUNK_BYTES", chunk)
        found = files.copy_hashed(io.BytesIO(data), target, told.append)
    assert target.getvalue() == data
    assert found == (hashlib.sha256(data).hexdigest(), len(data))
    assert told == sorted(told)
    assert (told or [0])[-1] == len(data)


def test_hash_of_a_file_is_that_of_its_content(tmp_path: Path) -> None:
    data = bytes(range(256)) * 10_000
    (tmp_path / "f").write_bytes(data)
    assert files.sha256(tmp_path / "f") == hashlib.sha256(data).hexdigest()


def test_second_holder_is_told_who_the_first_is(folder: Path) -> None:
    path = folder / "the.lock"
    with files.lock(path, "restore --dump=latest"):
        with pytest.raises(LockHeld) as refused, files.lock(path, "backup"):
            pytest.fail("both hold it")
        assert mode(path) == 0o600
    assert refused.value.exit_code == 5
    assert f"`restore --dump=latest` (process {os.getpid()}, since 2" in refused.value.message
    assert str(path) in refused.value.hint


def test_lock_is_free_again_however_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "the.lock"
    for error in (OperationFailed("x"), KeyboardInterrupt(), None):
        try:
            with files.lock(path, "drill"):
                if error:
                    raise error
        except (OperationFailed, KeyboardInterrupt):
            pass
        with files.lock(path, "next"):
            assert json.loads(path.read_text())["operation"] == "next"
        assert path.read_text() == ""


def test_locks_of_two_stacks_do_not_meet(tmp_path: Path) -> None:
    with files.lock(tmp_path / "a", "x"), files.lock(tmp_path / "b", "y"):
        pass


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"pid": 1}', "\udcff"])
def test_unreadable_holder_is_still_a_holder(tmp_path: Path, content: str) -> None:
    path = tmp_path / "the.lock"
    with files.lock(path, "x"):
        path.write_bytes(content.encode(errors="surrogateescape"))
        with pytest.raises(LockHeld, match="another process"), files.lock(path, "y"):
            pytest.fail("both hold it")


def test_lock_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "the.lock").mkdir()
    with (
        pytest.raises(OperationFailed, match=r"cannot open the lock .*the\.lock"),
        files.lock(tmp_path / "the.lock", "x"),
    ):
        pytest.fail("it was opened")


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system that is mounted to be read only: root may write to everything else."""
    really = os.open

    def open_(path: str | Path, flags: int, mode: int = 0o777) -> int:
        if flags & (os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return really(path, flags, mode)

    monkeypatch.setattr(os, "open", open_)


def test_lock_on_a_read_only_file_system_keeps_out_whoever_writes_elsewhere(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path = tmp_path / "the.lock"
    with files.lock(path, "prune"):
        request.getfixturevalue("read_only")
        with pytest.raises(LockHeld, match="prune"), files.lock(path, "restore", reading=True):
            pytest.fail("both hold it")
    with files.lock(path, "restore", reading=True), pytest.raises(LockHeld), files.lock(path, "x", reading=True):
        pytest.fail("both hold it")


@pytest.mark.usefixtures("read_only")
def test_lock_that_was_never_there_holds_nothing_on_a_read_only_file_system(tmp_path: Path) -> None:
    with files.lock(tmp_path / "the.lock", "restore", reading=True):
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match="Read-only"), files.lock(tmp_path / "the.lock", "backup"):
        pytest.fail("it was opened")


def test_holder_of_a_lock_is_known_without_touching_it(tmp_path: Path) -> None:
    path = tmp_path / "the.lock"
    assert files.lock_holder(path) is None
    with files.lock(path, "backup"):
        holder = files.lock_holder(path)
        assert holder is not None
        assert (holder.pid, holder.operation) == (os.getpid(), "backup")
    assert files.lock_holder(path) is None
    path.write_text(json.dumps({"pid": 2**22 + 1, "operation": "killed", "since": ""}))
    assert files.lock_holder(path) is None
