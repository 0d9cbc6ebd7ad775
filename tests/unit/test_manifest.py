"""A manifest says what is in a dump; one that is not understood is never half believed."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from cn_ops.errors import OperationFailed
from cn_ops.manifest import MANIFEST_VERSION, read_fingerprint, read_manifest, write_manifest
from cn_ops.model import Privilege
from tests.support.generations import fingerprint, manifest, properties


def document(**changes: Any) -> dict[str, Any]:
    return {**asdict(manifest()), **changes}


def test_manifest_comes_back_as_it_was_written(tmp_path: Path) -> None:
    written = manifest(
        globals_file="node-1.globals.sql",
        properties=properties(
            privileges=(Privilege("", "CONNECT", False), Privilege("auditor", "TEMPORARY", True)),
            settings=(("", "search_path=a, b"), ("auditor", "work_mem=64MB")),
            comment='a "comment" with 日本語',
        ),
    )
    path = tmp_path / "a.manifest.json"
    write_manifest(path, written, fingerprint())
    assert read_manifest(path) == written
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "text", ["", "{", "null", "[]", "3", '"manifest"', "\x00\x01", "{}", '{"manifest_version": 1}', "\udcff"]
)
def test_garbage_is_no_manifest_and_the_error_names_the_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.manifest.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(OperationFailed, match=r"a\.manifest\.json"):
        read_manifest(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": None},
        {"size_bytes": "many"},
        {"counted_rows": None},
        {"properties": []},
        {"dump_file": ""},
        {"dump_file": "../../etc/passwd"},
        {"dump_file": "/etc/passwd"},
        {"dump_file": ".."},
        {"globals_file": "../../etc/passwd"},
        {"globals_file": "/etc/passwd"},
    ],
)
def test_field_of_the_wrong_kind_is_named(changes: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "a.manifest.json"
    path.write_text(json.dumps(document(**changes)))
    with pytest.raises(OperationFailed, match=next(iter(changes))):
        read_manifest(path)


@pytest.mark.parametrize(
    "written",
    [
        lambda text: text.rstrip("\n"),
        lambda text: text + " " * 200,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: json.dumps(json.loads(text)),
        lambda text: json.dumps(json.loads(text), sort_keys=True, indent=2),
        lambda text: json.dumps({**json.loads(text), "note": {"by": ["somebody"]}}, indent=2),
        lambda text: json.dumps({"note": "x" * 100_000, **json.loads(text)}, indent=2),
        lambda text: "\ufeff" + text,
    ],
    ids=["no line break", "blanks", "CRLF", "one line", "sorted", "more behind", "more before", "BOM"],
)
def test_manifest_that_somebody_has_written_anew_is_read_as_well(
    written: Callable[[str], str], tmp_path: Path
) -> None:
    path = tmp_path / "a.manifest.json"
    write_manifest(path, manifest(), fingerprint())
    path.write_text(written(path.read_text()))
    assert read_manifest(path) == manifest()
    assert read_fingerprint(path) == fingerprint()


@pytest.mark.parametrize("kept", [0, 10, 64, 600, -1200, -600, -5, -3, -2])
def test_manifest_that_was_cut_off_is_none(kept: int, tmp_path: Path) -> None:
    path = tmp_path / "a.manifest.json"
    write_manifest(path, manifest(), fingerprint())
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(OperationFailed, match="not JSON"):
        read_manifest(path)


def test_manifest_that_is_nested_without_end_is_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "a.manifest.json"
    path.write_text("[" * 100_000)
    for read in (read_manifest, read_fingerprint):
        with pytest.raises(OperationFailed, match="not JSON"):
            read(path)


def test_manifest_without_end_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.manifest.json"
    path.symlink_to("/dev/zero")
    with pytest.raises(OperationFailed, match="too large"):
        read_manifest(path)


def test_manifest_of_a_newer_version_asks_for_a_newer_program(tmp_path: Path) -> None:
    path = tmp_path / "a.manifest.json"
    path.write_text(json.dumps({"manifest_version": MANIFEST_VERSION + 1, "something": "new"}))
    for read in (read_manifest, read_fingerprint):
        with pytest.raises(OperationFailed, match="newer cn-ops") as failed:
            read(path)
        assert "newer" in (failed.value.hint or "")


def test_manifest_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OperationFailed, match="gone"):
        read_manifest(tmp_path / "gone.manifest.json")
