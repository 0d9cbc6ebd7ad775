"""Backups and restores of a running node."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.e2e.commands.node import Node, wait_for
from tests.support import stacks

CONTENT = "select count(*) || ' ' || md5(string_agg(body, ',' order by id)) from notes"


@pytest.fixture(scope="module")
def newer_dump(postgres: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dump that the embedded PostgreSQL made: its major version is newer than the node's."""
    folder = tmp_path_factory.mktemp("newer")
    with stacks.embedded(folder / "the state") as stack:
        stack.start_postgres()
        with psycopg.connect(make_conninfo(**stack.conninfo("cn"))) as connection:
            connection.execute("create table public.notes (id int)")
        with (folder / "newer.dump").open("wb") as target:
            stack.tool(["pg_dump", "--format=custom", "--dbname=cn"], stdout=target)
    return folder / "newer.dump"


def test_restore_brings_back_the_very_content_of_a_backup(other_node: Node) -> None:
    before = other_node.sql(CONTENT)
    made = other_node.inv("backup", "--json").ok().document
    assert made["manifest"]["counted_rows"] == 20
    other_node.sql("delete from notes where id > 3; update notes set body = 'changed'")
    said = other_node.inv("restore", f"--dump={made['manifest']['id']}").ok()
    assert "rows and the schema are equal" in said.err
    assert other_node.sql(CONTENT) == before
    assert other_node.running() == {"db", "web", "worker"}
    assert other_node.journal() == ""
    assert made["manifest"]["id"] in other_node.inv("backups").ok().out


def test_prune_removes_the_older_generation_and_only_then(other_node: Node) -> None:
    for _ in range(2):
        other_node.inv("backup").ok()
    ids = [one["id"] for one in other_node.inv("backups", "--json").ok().document["generations"]]
    planned = other_node.inv("prune", "--keep=1", "--dry-run").ok()
    assert ids[1] in planned.out
    assert [one["id"] for one in other_node.inv("backups", "--json").ok().document["generations"]] == ids
    other_node.inv("prune", "--keep=1").ok()
    assert [one["id"] for one in other_node.inv("backups", "--json").ok().document["generations"]] == ids[:1]


def test_dump_of_a_newer_major_version_is_refused(other_node: Node, newer_dump: Path) -> None:
    oid = other_node.sql("select oid from pg_database where datname = 'notes'")
    refused = other_node.inv("restore", f"--dump={newer_dump}")
    assert refused.code == 2, refused.text
    assert "was made by PostgreSQL 18" in refused.err
    assert "this server is 17" in refused.err
    assert "nothing was changed" in refused.err
    assert other_node.sql("select oid from pg_database where datname = 'notes'") == oid
    assert other_node.running() == {"db", "web", "worker"}


def test_dump_made_by_hand_is_restored_with_a_warning(other_node: Node) -> None:
    dump = other_node.folder / "made by hand.dump"
    command = ["docker", "exec", other_node.container("db"), "pg_dump", "-Fc", "-U", "keeper", "notes"]
    with dump.open("wb") as target:
        subprocess.run(command, stdout=target, check=True, timeout=60)
    other_node.sql("truncate notes")
    restored = other_node.inv("restore", f"--dump={dump.name}").ok()
    assert "made by hand.dump has no manifest" in restored.err
    assert "not known: the dump has no manifest" in restored.out
    assert other_node.sql("select count(*) from notes") == "20"


def test_wrong_password_is_refused_and_never_shown(other_node: Node) -> None:
    wrong = "Not-the-right-one-31"
    other_node.inv("backup").ok()
    before = other_node.backups()
    for command in (("backup",), ("restore", "--dump=latest"), ("drill", "--no-build")):
        refused = other_node.inv(*command, CN_OPS_STACK__POSTGRES__PASSWORD=wrong)
        assert refused.code == 2, refused.text
        assert "the server refuses the password of role 'keeper'" in refused.err
        assert "CN_OPS_STACK__POSTGRES__PASSWORD" in refused.err
        assert wrong not in refused.text
    assert wrong not in other_node.log()
    assert other_node.backups() == before
    assert other_node.sql("select count(*) from notes") == "20"
    assert other_node.running() == {"db", "web", "worker"}


def test_second_command_is_told_who_works_on_the_stack(other_node: Node) -> None:
    with other_node.gate_shut():
        first = other_node.start("backup")
        wait_for(other_node.tools, first)
        second = other_node.inv("restore", "--dump=latest", "--yes")
        assert second.code == 5, second.text
        assert f"`backup` (process {first.process.pid}" in second.err
        assert "this command changed nothing" in second.err
    first.done().ok()


def test_drill_of_a_node_that_is_not_the_demo(other_node: Node) -> None:
    before = other_node.sql(CONTENT)
    drilled = other_node.inv("drill", "--no-build", "--json").ok().document
    assert (drilled["baseline_event_count"], drilled["after_corruption_event_count"]) == (20, 0)
    assert drilled["after_restore_event_count"] == 20
    assert other_node.sql(CONTENT) == before
    assert other_node.running() == {"db", "web", "worker"}
