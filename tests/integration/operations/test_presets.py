"""Every preset makes a generation that comes back as it was, and leaves nothing beside the tools."""

from __future__ import annotations

import io
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from cn_ops.errors import OperationFailed, UsageError, VerificationFailed
from cn_ops.phases import Phases, Silent
from cn_ops.postgres.archive import sought
from cn_ops.source import find_source
from cn_ops.stack.embedded import EmbeddedStack
from cn_ops.stack.scripts import FOLDER_PREFIX
from cn_ops.verify import verify
from tests.support.nodes import Node, content
from tests.support.operations import Tools, back_up, bring_back, execute

VERSION = "case $1 in --version) exec {real} $1;; esac"
# The tool's last argument is the folder, in the one that it works in.
GIVES_UP_AFTER = "i=0; while [ -e dump/1.dat ] && [ $i -lt 200 ]; do sleep 0.05; i=$((i + 1)); done"


def folders(site: Node) -> list[str]:
    return [path.name for path in Path(site.stack.folders).glob(f"{FOLDER_PREFIX}*")]


def preset(site: Node, name: str, **changes: object) -> None:
    site.change({"backup": {"preset": name, "compress": None, **changes}, "restore": {"jobs": 2}})


@pytest.mark.parametrize("name", ["compatible", "fast", "parallel"])
def test_what_a_preset_makes_comes_back_and_is_proven(name: str, site: Node) -> None:
    site.rows("SELECT lo_from_bytea(0, convert_to(n::text, 'UTF8')) FROM generate_series(1, 30) AS n")
    preset(site, name)
    before = site.content()
    made = back_up(site)
    assert made.manifest.format == ("directory" if name == "parallel" else "custom")
    assert stat.S_IMODE(made.dump.stat().st_mode) == 0o600
    site.rows("DELETE FROM cn_relay.event_topics")
    restored = bring_back(site)
    assert (site.content(), restored.tables) == (before, len([one for one in before if "_seq" not in one]))
    source = find_source(site.settings.backup, "latest", site.folder)
    assert verify(site.stack, source, site.settings.restore, Phases(Silent())).generation.id == made.generation.id
    assert folders(site) == []


def test_plain_tools_restore_what_was_packed(site: Node, server: EmbeddedStack, tmp_path: Path) -> None:
    preset(site, "parallel", jobs=2)
    made = back_up(site)
    assert made.manifest.flags == ("--format=directory", "--compress=2", "--jobs=2")
    subprocess.run(["tar", "-xf", str(made.dump), "-C", str(tmp_path)], check=True)
    name = f"{site.database}_copy"
    execute(server, "CREATE DATABASE {}", name)
    try:
        server.tool(["pg_restore", "--no-owner", "--exit-on-error", f"--dbname={name}", str(tmp_path / "dump")])
        assert content(server, name) == site.content()
    finally:
        execute(server, "DROP DATABASE {} WITH (FORCE)", name)


def test_settings_go_over_their_preset(site: Node) -> None:
    preset(site, "parallel", format="custom", compress="none")
    assert back_up(site).manifest.flags == ("--format=custom", "--compress=none")


def test_packed_dump_by_hand_is_restored(site: Node) -> None:
    preset(site, "parallel")
    path = site.folder / "by hand"
    path.write_bytes(back_up(site).dump.read_bytes())
    before = site.content()
    site.rows("DELETE FROM cn_relay.event_topics")
    bring_back(site, "./by hand")
    assert site.content() == before


def test_packed_dump_that_is_damaged_is_refused_before_anything_is_touched(site: Node) -> None:
    preset(site, "parallel")
    whole = back_up(site).dump.read_bytes()
    before = site.content()["cn_relay.events"]
    path = site.folder / "by hand.dump"
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        largest = max(archive.getmembers(), key=lambda member: member.size if "toc" not in member.name else 0)
    flipped = bytearray(whole)
    flipped[largest.offset_data + largest.size // 2] ^= 0xFF
    for content_ in (whole[: len(whole) // 2], whole[:-2000], bytes(flipped)):
        path.write_bytes(content_)
        with pytest.raises((VerificationFailed, UsageError)) as failed:
            bring_back(site, path)
        assert failed.value.state == "nothing was changed"
    assert site.content()["cn_relay.events"] == before
    assert folders(site) == []


def test_finished_files_leave_the_folder_while_others_are_dumped(site: Node, tools: Tools) -> None:
    """So the dump needs no room twice; the wrapper waits for that, and fails when it does not come to pass."""
    script = f"mkdir dump; echo one >dump/1.dat; {GIVES_UP_AFTER}; [ ! -e dump/1.dat ] || exit 9; echo no >&2; exit 7"
    tools(site, pg_dump=f'{VERSION}; case $1 in --format=directory) {script};; esac; exec {{real}} "$@"')
    preset(site, "parallel")
    with pytest.raises(OperationFailed, match="exit code 7") as failed:
        back_up(site)
    assert failed.value.evidence == "no"
    assert (folders(site), site.backup_files()) == ([], set())


def test_file_that_is_still_written_is_not_taken(site: Node, tools: Tools) -> None:
    script = "mkdir dump; exec 5>dump/2.dat; echo half >&5; sleep 1; [ -e dump/2.dat ] || exit 9; exit 7"
    tools(site, pg_dump=f'{VERSION}; case $1 in --format=directory) {script};; esac; exec {{real}} "$@"')
    preset(site, "parallel")
    with pytest.raises(OperationFailed, match="exit code 7"):
        back_up(site)


def test_folder_that_a_killed_command_left_is_removed_and_one_in_use_is_not(site: Node) -> None:
    preset(site, "parallel")
    made = back_up(site)
    left = Path(site.stack.folders, f"{FOLDER_PREFIX}left")
    left.mkdir()
    (left / "dump").write_bytes(b"half")
    with sought(site.stack, made.dump) as used:
        assert not left.exists()
        back_up(site)
        assert Path(used, "toc.dat").exists()
    assert folders(site) == []


def test_tools_without_a_compression_are_told_from_a_damaged_dump(site: Node, tools: Tools) -> None:
    back_up(site)
    said = "pg_restore: error: could not read: this build does not support compression with zstd"
    tools(site, pg_restore=f'{VERSION}; case $1 in --list) exec {{real}} "$@";; esac; echo "{said}" >&2; exit 1')
    with pytest.raises(Exception, match="built without its compression"):
        bring_back(site)
