"""A restore brings back the content, and touches nothing before it knows that it can."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import cn_ops.postgres.database as db
from cn_ops.errors import MissingError, OperationFailed, TimedOut, UsageError
from cn_ops.manifest import write_manifest
from cn_ops.model import DatabaseProperties, Status
from cn_ops.postgres.session import session
from cn_ops.restore import plan_restore, restore
from cn_ops.stack.embedded import EmbeddedStack
from tests.support.nodes import Node
from tests.support.operations import Tools, back_up, bring_back, execute, tells_everything

NewSite = Any
EXOTIC_NAMES = [
    "with space",
    'it\'s "quoted"',
    "dbname=postgres host=nowhere",
    "postgresql://nobody@nowhere/nothing",
    "-dash",
    "--help",
    "帳簿 🌸",
    "UPPER",
    "back\\slash",
    "percent%s{}",
]
DAMAGE = "DROP SCHEMA cn_relay CASCADE; CREATE TABLE public.stranger (n int); INSERT INTO public.stranger VALUES (1)"


def properties(site: Node) -> DatabaseProperties:
    with session(site.stack, "postgres") as connection:
        return db.properties(connection, site.database)


def test_every_row_of_every_table_comes_back(site: Node) -> None:
    before = site.content()
    made = back_up(site)
    site.rows(DAMAGE)
    result = bring_back(site)
    assert site.content() == before
    assert (result.generation, result.restored_rows, result.expected_rows) == (made.generation.id, 300, 300)
    assert [one.status for one in result.phases] == [Status.PASSED] * 5
    assert site.journal is None


def test_id_and_path_and_latest_lead_to_the_same_dump(site: Node) -> None:
    made = back_up(site)
    for wanted in ("latest", made.generation.id, made.dump, f"the backups/{made.dump.name}"):
        assert bring_back(site, wanted).generation == made.generation.id


def test_planner_has_statistics_afterwards(site: Node) -> None:
    back_up(site)
    bring_back(site)
    assert site.rows("SELECT reltuples::int FROM pg_class WHERE oid = 'cn_relay.events'::regclass") == [(300,)]
    assert site.rows("SELECT count(*) > 0 FROM pg_stats WHERE schemaname = 'cn_relay' AND tablename = 'events'") == [
        (True,)
    ]


def test_sessions_of_others_do_not_keep_the_database(site: Node) -> None:
    back_up(site)
    with psycopg.connect(make_conninfo(**site.stack.conninfo(site.database))) as other:
        other.execute("LOCK TABLE cn_relay.events IN ACCESS EXCLUSIVE MODE")
        assert bring_back(site).restored_rows == 300
        with pytest.raises(psycopg.OperationalError, match="terminating connection"):
            other.execute("SELECT 1")


def test_dump_without_a_manifest_is_restored_with_a_warning(site: Node) -> None:
    before = site.content()
    made = back_up(site)
    by_hand = site.folder / "by hand.dump"
    by_hand.write_bytes(made.dump.read_bytes())
    site.rows(DAMAGE)
    result = bring_back(site, by_hand)
    assert site.content() == before
    assert (result.generation, result.expected_rows, result.restored_rows) == (None, None, None)
    assert any("no manifest" in warning for warning in result.warnings)
    assert {one.name: one.status for one in result.phases}["verify"] is Status.SKIPPED


def test_plan_changes_nothing(site: Node) -> None:
    back_up(site)
    site.rows("DELETE FROM cn_relay.event_topics")
    before, files = site.content(), site.backup_files()
    with site.operation() as operation:
        plan = plan_restore(operation, "latest", site.folder)
    assert (plan.recreation.expected_rows, plan.writers) == (300, ())
    assert plan.size_now
    assert site.content() == before
    assert site.backup_files() == files
    assert site.journal is None


def test_refused_confirmation_changes_nothing(site: Node) -> None:
    back_up(site)
    site.rows("DELETE FROM cn_relay.event_topics")
    before = site.content()

    def refuse(_: object) -> None:
        raise UsageError("no")

    with site.operation() as operation, pytest.raises(UsageError):
        restore(operation, "latest", site.folder, refuse)
    assert site.content() == before
    assert site.journal is None


def test_load_that_fails_says_so_and_healing_finishes_it(site: Node, tools: Tools) -> None:
    before = site.content()
    made = back_up(site)
    tools(site, pg_restore='case "$*" in *--clean*) echo no memory >&2; exit 1;; esac; exec {real} "$@"')
    with pytest.raises(OperationFailed) as failed:
        bring_back(site)
    assert "half restored" in failed.value.state
    assert str(made.dump) in failed.value.hint
    assert "no memory" in failed.value.evidence
    site.change({"stack": {"embedded": {"bin_dir": None}}})
    bring_back(site)
    assert site.content() == before
    assert site.journal is None


def test_role_that_may_not_create_databases_is_refused_before_anything_is_touched(
    site: Node, server: EmbeddedStack
) -> None:
    role = f"{site.database}_plain"
    back_up(site)
    before = site.content()
    execute(server, "CREATE ROLE {} LOGIN", role)
    try:
        site.change({"stack": {"postgres": {"user": role}}})
        with pytest.raises(UsageError, match=role) as failed:
            bring_back(site)
    finally:
        site.change({"stack": {"postgres": {"user": "cn"}}})
        execute(server, "DROP ROLE {}", role)
    assert tells_everything(failed.value)
    assert site.content() == before


def test_no_room_for_the_database_is_noticed_before_anything_is_touched(
    site: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(site)
    before = site.content()
    monkeypatch.setattr(EmbeddedStack, "free_bytes", lambda _: 0)
    site.rows("DROP SCHEMA cn_user CASCADE")  # smaller than what is to come back
    made = back_up(site)
    bigger = dataclasses.replace(made.manifest, database_size_bytes=1 << 50)
    write_manifest(made.generation.manifest_file, bigger)
    with pytest.raises(MissingError, match="has room for") as failed:
        bring_back(site)
    assert tells_everything(failed.value)
    assert set(site.content()) < set(before)


def test_writers_that_do_not_become_healthy_leave_a_restored_database_and_say_so(
    new_site: NewSite,
) -> None:
    site: Node = new_site(application={"deadline": 20})
    before = site.content()["cn_relay.events"]
    back_up(site)
    site.stack.start([site.stack.writers[0]])
    service = {"command": ["sleep", "60"]}
    site.change({"stack": {"embedded": {"services": {site.stack.writers[0]: service}}}})
    site.change({"application": {"deadline": 1}})
    with pytest.raises(TimedOut) as failed:
        bring_back(site)
    assert "restored" in failed.value.state
    assert tells_everything(failed.value)
    assert site.content()["cn_relay.events"] == before
    assert site.journal is not None
    assert site.journal.stopped == (site.stack.writers[0],)


def test_uncompressed_dump_comes_back(site: Node) -> None:
    before = site.content()
    site.change({"backup": {"compress": "0"}})
    back_up(site)
    bring_back(site)
    assert site.content() == before


def test_path_of_a_dump_elsewhere_is_taken(site: Node, tmp_path: Path) -> None:
    before = site.content()
    made = back_up(site)
    elsewhere = tmp_path / "else 'where'"
    elsewhere.mkdir()
    for path in made.generation.files:
        path.rename(elsewhere / path.name)
    assert bring_back(site, elsewhere / made.dump.name).generation == made.generation.id
    assert site.content() == before
