"""A dump in directory format as one file: what is packed, what is taken for one, and what is refused."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from cn_ops.errors import UsageError, VerificationFailed
from cn_ops.postgres.archive import check_file, is_directory
from cn_ops.postgres.directory import Packer, check_members, contents_only

FILES = {"dump/3401.dat.zst": b"x" * 700, "dump/blobs_1.toc": b"", "dump/toc.dat": b"PGDMP" * 200}


def packed(path: Path, files: dict[str, bytes]) -> Path:
    with path.open("wb") as stream:
        packer = Packer(stream, lambda _: None)
        for name, content in files.items():
            packer.add(name, len(content), io.BytesIO(content))
        size = packer.end()
    assert path.stat().st_size == size
    return path


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    return packed(tmp_path / "x.dump", FILES)


def test_any_tar_unpacks_it(dump: Path) -> None:
    with tarfile.open(dump) as archive:
        assert archive.getnames() == ["dump", *FILES]
        for name, content in FILES.items():
            stream = archive.extractfile(name)
            assert stream is not None
            assert stream.read() == content
        assert {member.mode for member in archive if member.isreg()} == {0o600}


def test_it_is_known_by_how_it_begins(dump: Path) -> None:
    check_file(dump)
    check_members(dump)
    assert is_directory(dump)


def test_how_far_it_has_come_is_told(tmp_path: Path) -> None:
    told: list[int] = []
    packer = Packer(io.BytesIO(), told.append)
    packer.add("dump/toc.dat", 5, io.BytesIO(b"PGDMP"))
    assert packer.end() == told[-1]
    assert told == sorted(told)


def test_stream_that_ends_early_is_noticed() -> None:
    with pytest.raises(EOFError):
        Packer(io.BytesIO(), lambda _: None).add("dump/1.dat", 6, io.BytesIO(b"short"))


def test_contents_alone_are_a_whole_tar(dump: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(contents_only(dump))) as archive:
        stream = archive.extractfile("dump/toc.dat")
        assert stream is not None
        assert stream.read() == FILES["dump/toc.dat"]


@pytest.mark.parametrize("size", [512, 600, 1300, 1600, 2100, 2600])
def test_one_that_was_cut_is_damaged(size: int, dump: Path) -> None:
    dump.write_bytes(dump.read_bytes()[:size])
    with pytest.raises(VerificationFailed, match="damaged"):
        check_members(dump)


@pytest.mark.parametrize(
    "name", ["dump/../../etc/passwd", "/etc/passwd", "dump/.hidden", "dump/a/b.dat", "dump/x y.dat"]
)
def test_nothing_is_unpacked_that_pg_dump_does_not_make(name: str, tmp_path: Path) -> None:
    with pytest.raises(VerificationFailed) as failed:
        check_members(packed(tmp_path / "x.dump", {name: b"", **FILES}))
    assert name in failed.value.evidence


def test_links_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.dump"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        folder = tarfile.TarInfo("dump")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        link = tarfile.TarInfo("dump/1.dat")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(VerificationFailed, match="damaged"):
        check_members(path)


def test_another_tar_is_no_dump(tmp_path: Path) -> None:
    path = tmp_path / "x.dump"
    with tarfile.open(path, "w") as archive:
        archive.add(__file__, "readme.txt")
    with pytest.raises(UsageError):
        check_file(path)
