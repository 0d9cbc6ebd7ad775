"""A backup is true to its snapshot, private, complete or not there, and prunes only after it is."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cn_ops import __version__
from cn_ops.errors import LockHeld, MissingError, OperationFailed, OpsError, VerificationFailed
from cn_ops.generations import Draft, read_catalogue
from cn_ops.manifest import read_manifest
from cn_ops.model import Status
from cn_ops.postgres.server_lock import server_lock
from cn_ops.stack.embedded import EmbeddedStack
from tests.support.nodes import Node, content
from tests.support.operations import Tools, back_up, bring_back, execute, tells_everything
from tests.support.processes import wait_until

# What every wrapper does first: a version that is asked for is told.
VERSION = "case $1 in --version) exec {real} $1;; esac"
HELD_SNAPSHOTS = (
    "SELECT count(*)::int FROM pg_stat_activity WHERE application_name ~ '^cn-ops-' AND state = 'idle in transaction'"
    " AND datname = current_database() AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()"
)
NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


def test_everything_in_the_manifest_is_true(site: Node) -> None:
    made = back_up(site)
    manifest = read_manifest(made.generation.manifest_file)
    assert manifest == made.manifest
    dump, globals_ = made.generation.dump, site.backups / str(manifest.globals_file)
    assert manifest.sha256 == hashlib.sha256(dump.read_bytes()).hexdigest()
    assert manifest.size_bytes == dump.stat().st_size
    assert manifest.globals_sha256 == hashlib.sha256(globals_.read_bytes()).hexdigest()
    assert (manifest.id, manifest.dump_file) == (made.generation.id, dump.name)
    ((rows, oid, system, size, version),) = site.rows(
        "SELECT (SELECT count(*)::int FROM cn_relay.events), d.oid::bigint, c.system_identifier::text,"
        " pg_database_size(d.datname)::bigint, current_setting('server_version')"
        " FROM pg_control_system() AS c, pg_database AS d WHERE d.datname = current_database()"
    )
    assert (manifest.counted_table, manifest.counted_rows) == ("cn_relay.events", rows)
    assert (manifest.database, manifest.database_oid) == (site.database, oid)
    assert manifest.system_identifier == system
    assert manifest.database_size_bytes == pytest.approx(size, rel=0.1)
    assert manifest.server_version == manifest.tool_version == version
    assert manifest.flags == ("--format=custom", "--compress=1")
    assert manifest.cn_ops_version == __version__
    assert (manifest.properties.owner, manifest.properties.encoding) == ("cn", "UTF8")


def test_backup_that_would_pass_for_an_older_one_is_refused(site: Node) -> None:
    """Its clock is behind: it would be pruned as old, and never be the latest."""
    site.change({"backup": {"generations": 1}})
    newest = back_up(site, clock=lambda: NOW).generation
    with pytest.raises(OperationFailed, match="would pass for an older one") as failed:
        back_up(site, clock=lambda: NOW - timedelta(seconds=1))
    assert tells_everything(failed.value)
    assert [one.id for one in read_catalogue(site.backups, "node").generations] == [newest.id]
    assert back_up(site, clock=lambda: NOW).generation.dump.exists()  # within the same second


def test_database_that_another_machine_replaces_is_not_backed_up(site: Node) -> None:
    with server_lock(site.stack, site.database), pytest.raises(LockHeld, match="replaces the database") as failed:
        back_up(site)
    assert tells_everything(failed.value)
    assert site.backup_files() == set()
    with server_lock(site.stack, site.database, shared=True):
        assert back_up(site).dump.exists()


def test_journal_of_another_stack_that_cannot_be_understood_stops_pruning_and_no_backup(site: Node) -> None:
    site.change({"backup": {"generations": 1}})
    older = back_up(site)
    (site.settings.state / "compose-other.journal.json").write_text("{}")
    result = back_up(site)
    assert result.dump.exists()
    assert older.dump.exists()
    assert any("nothing is pruned" in one and "compose-other" in one for one in result.warnings)
    assert [one.status for one in result.phases if one.name == "prune"] == [Status.SKIPPED]
    (site.settings.state / "compose-other.journal.json").unlink()
    back_up(site)
    assert not older.dump.exists()


def test_folder_that_is_a_file_is_named_with_the_state_of_everything(site: Node) -> None:
    older = back_up(site)
    (site.folder / "a file").write_text("mine")
    site.change({"backup": {"directory": str(site.folder / "a file")}})
    with pytest.raises(OpsError, match="a file") as failed:
        back_up(site)
    assert "no generation was made" in failed.value.state
    assert tells_everything(failed.value)
    assert older.dump.exists()
    assert (site.folder / "a file").read_text() == "mine"


def test_times_in_the_manifest_are_utc_and_in_order(site: Node) -> None:
    before = datetime.now(UTC)
    manifest = back_up(site).manifest
    started, finished = (datetime.fromisoformat(text) for text in (manifest.started_at, manifest.finished_at))
    assert before - timedelta(seconds=1) <= started <= finished <= datetime.now(UTC)
    assert manifest.started_at.endswith("Z")
    assert 0 < manifest.duration_seconds < 60
    assert re.fullmatch(r"\d{8}-\d{6}", manifest.id)


def test_dump_is_restorable_by_the_plain_tools(site: Node, server: EmbeddedStack, tmp_path: Path) -> None:
    made = back_up(site)
    name = f"{site.database}_copy"
    execute(server, "CREATE DATABASE {}", name)
    try:
        with made.dump.open("rb") as stream:
            server.tool(["pg_restore", "--no-owner", "--exit-on-error", f"--dbname={name}"], stdin=stream)
        assert content(server, name) == site.content()
    finally:
        execute(server, "DROP DATABASE {} WITH (FORCE)", name)


def test_backup_is_for_its_owner_only(site: Node) -> None:
    made = back_up(site)
    assert stat.S_IMODE(site.backups.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in site.backups.iterdir()} == {0o600}
    assert site.backup_files() == {path.name for path in made.generation.files} - {made.generation.proof_file.name}


def test_folder_that_was_there_keeps_its_mode(site: Node) -> None:
    site.backups.mkdir(mode=0o755)
    site.backups.chmod(0o755)
    back_up(site)
    assert stat.S_IMODE(site.backups.stat().st_mode) == 0o755


def test_globals_hold_the_roles(site: Node) -> None:
    made = back_up(site)
    assert "CREATE ROLE cn;" in (site.backups / str(made.manifest.globals_file)).read_text()


def test_globals_can_be_left_out(site: Node) -> None:
    site.change({"backup": {"globals": False}})
    made = back_up(site)
    assert (made.manifest.globals_file, made.manifest.globals_sha256) == (None, None)
    assert site.backup_files() == {made.dump.name, made.generation.manifest_file.name}


def test_two_backups_in_one_second_are_two_generations(site: Node) -> None:
    ids = [back_up(site, clock=lambda: NOW).generation.id for _ in range(3)]
    assert ids == ["20261124-030000", "20261124-030000-2", "20261124-030000-3"]
    assert [one.id for one in read_catalogue(site.backups, "node").complete] == ids[::-1]


def test_generations_beyond_those_to_keep_go_only_after_the_new_one_is_there(site: Node) -> None:
    site.change({"backup": {"generations": 2}})
    for minutes in range(4):
        made = back_up(site, clock=lambda minutes=minutes: NOW + timedelta(minutes=minutes))
    assert [one.id for one in read_catalogue(site.backups, "node").complete] == ["20261124-030300", "20261124-030200"]
    assert [one.generation.id for one in made.decisions if not one.keep] == ["20261124-030100"]
    assert len(site.backup_files()) == 6


def test_rows_written_while_dumping_are_not_in_the_dump_and_not_counted(
    site: Node, tools: Tools, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    tools(site, pg_dump=f"{VERSION}; while ! [ -e '{go}' ]; do sleep 0.02; done; exec {{real}} \"$@\"")
    before = site.content()
    with ThreadPoolExecutor() as pool:
        running = pool.submit(back_up, site)
        try:
            wait_until(lambda: site.rows(HELD_SNAPSHOTS) == [(1,)])
            site.rows("DELETE FROM cn_relay.events_outbox; DELETE FROM cn_relay.events")
        finally:
            go.touch()
        manifest = running.result(60).manifest
    assert manifest.counted_rows == before["cn_relay.events"][0] == 300
    bring_back(site)
    assert site.content() == before


@pytest.mark.parametrize(
    ("relation", "rows"),
    [("seen", 300), ("parts", 40), ("half", 150), ("parent", 12), ('"odd" name', 5)],
    ids=["materialised view", "partitioned table", "view", "table with children", "name with quotes"],
)
def test_whatever_is_counted_is_counted_in_the_snapshot(
    relation: str, rows: int, site: Node, tools: Tools, tmp_path: Path
) -> None:
    quoted = relation.replace('"', '""')
    for statement in (
        "CREATE SCHEMA counted",
        "CREATE MATERIALIZED VIEW counted.seen AS SELECT event_id FROM cn_relay.events",
        "CREATE VIEW counted.half AS SELECT event_id FROM cn_relay.events LIMIT 150",
        "CREATE TABLE counted.parts (n int) PARTITION BY RANGE (n)",
        "CREATE TABLE counted.low PARTITION OF counted.parts FOR VALUES FROM (0) TO (20)",
        "CREATE TABLE counted.high PARTITION OF counted.parts FOR VALUES FROM (20) TO (90)",
        "INSERT INTO counted.parts SELECT generate_series(0, 39)",
        "CREATE TABLE counted.parent AS SELECT n FROM generate_series(1, 5) AS n",
        "CREATE TABLE counted.child () INHERITS (counted.parent)",
        "INSERT INTO counted.child SELECT generate_series(1, 7)",
        'CREATE TABLE counted."""odd"" name" AS SELECT n FROM generate_series(1, 5) AS n',
    ):
        site.rows(statement)
    site.change({"drill": {"count_table": f"counted.{relation}"}})
    go = tmp_path / "go"
    schema = 'case "$*" in *--schema-only*) exec {real} "$@";; esac'
    begun = tmp_path / "begun"
    waits = f"touch '{begun}'; while ! [ -e '{go}' ]; do sleep 0.02; done"
    tools(site, pg_dump=f'{VERSION}; {schema}; {waits}; exec {{real}} "$@"')
    with ThreadPoolExecutor() as pool:
        running = pool.submit(back_up, site)
        try:
            wait_until(begun.exists)
            site.rows("DELETE FROM cn_relay.events_outbox; DELETE FROM cn_relay.events; DELETE FROM counted.parts")
            site.rows('DELETE FROM counted.parent; DELETE FROM counted."""odd"" name"')
            site.rows("REFRESH MATERIALIZED VIEW counted.seen")
        finally:
            go.touch()
        assert running.result(60).manifest.counted_rows == rows
    assert site.rows(f'SELECT count(*)::int FROM counted."{quoted}"') == [(0,)]


@pytest.mark.parametrize(
    ("tool", "script"),
    [
        ("pg_dump", f"{VERSION}; echo out of memory >&2; exit 1"),
        ("pg_dump", f'{VERSION}; {{real}} "$@" | head -c 3000; echo it died >&2; exit 1'),
        ("pg_dump", f'{VERSION}; {{real}} "$@" | head -c 3000; kill -9 $$'),
        ("pg_dumpall", "echo 'permission denied for table pg_authid' >&2; exit 1"),
        ("pg_dumpall", '{real} "$@" | head -n 12'),
    ],
    ids=["fails at once", "fails half way", "is killed", "globals are refused", "globals are cut"],
)
def test_failing_tool_leaves_no_generation_and_prunes_nothing(
    tool: str, script: str, site: Node, tools: Tools
) -> None:
    for minutes in range(3):
        back_up(site, clock=lambda minutes=minutes: NOW + timedelta(minutes=minutes))
    before = site.backup_files()
    site.change({"backup": {"generations": 1}})
    tools(site, **{tool: script})
    with pytest.raises(OpsError, match=tool) as failed:
        back_up(site)
    assert site.backup_files() == before
    assert "no generation was made" in failed.value.state
    assert tells_everything(failed.value)


def test_dump_that_pg_dump_cut_without_saying_so_is_noticed_when_read_back(site: Node, tools: Tools) -> None:
    tools(site, pg_dump=f'{VERSION}; {{real}} "$@" | head -c 20000; exit 0')
    with pytest.raises(VerificationFailed, match="cannot be read back") as failed:
        back_up(site)
    assert site.backup_files() == set()
    assert "no generation was made" in failed.value.state
    assert tells_everything(failed.value)


def test_disk_that_changes_what_was_written_is_noticed(site: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uncompressed, and pg_restore would read it without a word."""
    sync = Draft.sync

    def changed(made: Draft) -> None:
        sync(made)
        with made.aside(".dump").open("r+b") as stream:
            middle = stream.seek(0, os.SEEK_END) // 2
            stream.seek(middle)
            (byte,) = stream.read(1)
            stream.seek(middle)
            stream.write(bytes([byte ^ 0xFF]))

    monkeypatch.setattr(Draft, "sync", changed)
    site.change({"backup": {"compress": "0"}})
    with pytest.raises(VerificationFailed, match="not what pg_dump wrote") as failed:
        back_up(site)
    assert site.backup_files() == set()
    assert tells_everything(failed.value)


def test_database_that_is_missing_is_named(site: Node) -> None:
    site.change({"stack": {"postgres": {"database": "nowhere"}}})
    with pytest.raises(MissingError, match="'nowhere'") as failed:
        back_up(site)
    assert "no generation was made" in failed.value.state
    assert failed.value.hint
    assert site.backup_files() == set()


def test_counted_table_that_is_missing_is_named(site: Node) -> None:
    site.change({"drill": {"count_table": "cn_relay.nothing"}})
    with pytest.raises(OperationFailed, match=r"cn_relay\.nothing") as failed:
        back_up(site)
    assert site.backup_files() == set()
    assert tells_everything(failed.value)


def test_manifest_holds_no_secret(site: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "hunter22-and-more")
    site.change({"stack": {"postgres": {"password": "hunter22-and-more"}}})
    made = back_up(site)
    text = made.generation.manifest_file.read_text()
    assert "hunter22" not in text
    assert json.loads(text)["manifest_version"] == 1
