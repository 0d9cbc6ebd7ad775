"""What a file is, before anybody tries to restore it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cn_ops.errors import UsageError, VerificationFailed
from cn_ops.postgres.archive import Header, check_file, parse_header

LISTING = """;
; Archive created at 2026-11-24 03:00:00 UTC
;     dbname: the "node's" = data
;     TOC Entries: 211
;     Compression: gzip
;     Dump Version: 1.16-0
;     Format: CUSTOM
;     Integer: 4 bytes
;     Offset: 8 bytes
;     Dumped from database version: 17.6 (Debian 17.6-1.pgdg120+1)
;     Dumped by pg_dump version: 18.0
;
;
; Selected TOC Entries:
;
6; 2615 16385 SCHEMA - cn_relay cn
"""


def test_header_is_read_from_a_listing() -> None:
    assert parse_header(LISTING) == Header('the "node\'s" = data', "17.6", "18.0", 211)


def test_listing_that_says_nothing_gives_an_empty_header() -> None:
    assert parse_header("") == Header("", "", "", 0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"--\n-- PostgreSQL database dump\n--\n", "plain SQL"),
        (b"--\n-- PostgreSQL database cluster dump\n--\n", "plain SQL"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"\x28\xb5\x2f\xfd\x04", "zstd"),
        (b"toc.dat" + bytes(93), "tar"),
        (b"PGDM", "no dump in pg_dump's custom format"),
        (b"SELECT 1;", "no dump in pg_dump's custom format"),
        (bytes(1000), "no dump in pg_dump's custom format"),
    ],
)
def test_other_files_are_told_what_they_are(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.dump"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=said) as failed:
        check_file(path)
    assert str(path) in failed.value.message
    assert failed.value.state == "nothing was changed"
    assert failed.value.hint


def test_empty_file_is_a_damaged_dump(tmp_path: Path) -> None:
    (tmp_path / "x.dump").touch()
    with pytest.raises(VerificationFailed, match="is empty"):
        check_file(tmp_path / "x.dump")


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not there"):
        check_file(tmp_path / "x.dump")
    (tmp_path / "link.dump").symlink_to(tmp_path / "gone")
    with pytest.raises(UsageError, match="is not there"):
        check_file(tmp_path / "link.dump")


def test_folder_is_told_from_a_dump_in_directory_format(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a directory"):
        check_file(tmp_path)
    (tmp_path / "toc.dat").touch()
    with pytest.raises(UsageError, match="a dump in directory format"):
        check_file(tmp_path)


def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.dump")
    with pytest.raises(UsageError, match="not a regular file"):
        check_file(tmp_path / "x.dump")


def test_dump_in_custom_format_passes(tmp_path: Path) -> None:
    (tmp_path / "x.dump").write_bytes(b"PGDMP and more")
    check_file(tmp_path / "x.dump")
