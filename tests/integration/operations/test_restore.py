"""A restore brings back the content and keeps what belongs to the database itself."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from cn_ops.errors import ExitCode, MissingError, OperationFailed, TimedOut, UsageError
from cn_ops.generations import read_catalogue
from cn_ops.manifest import read_fingerprint, write_manifest
from cn_ops.model import Generation, Status
from cn_ops.names import Beside
from cn_ops.restore import restore
from cn_ops.restore_plan import plan_restore
from cn_ops.stack.embedded import EmbeddedStack
from tests.support.nodes import Node
from tests.support.operations import (
    Tools,
    back_up,
    beside_it,
    bring_back,
    execute,
    heal_it,
    tells_everything,
)

NewSite = Any
DAMAGE = "DROP SCHEMA cn_relay CASCADE; CREATE TABLE public.stranger (n int); INSERT INTO public.stranger VALUES (1)"


def test_every_row_of_every_table_comes_back(either_way: Node) -> None:
    site = either_way
    before = site.content()
    made = back_up(site)
    site.rows(DAMAGE)
    result = bring_back(site)
    assert site.content() == before
    assert (result.generation, result.rows) == (made.generation.id, made.manifest.rows)
    assert made.manifest.counted_rows == 300
    assert [one.name for one in result.phases if one.status is not Status.PASSED] == []
    assert site.journal is None


def test_replaced_database_stays_beside_and_nothing_else_does(site: Node) -> None:
    back_up(site)
    site.rows(DAMAGE)
    result = bring_back(site)
    assert beside_it(site, Beside.PREVIOUS) == (result.previous,)
    assert site.rows("SELECT n FROM public.stranger", result.previous) == [(1,)]
    assert beside_it(site, Beside.INCOMING) == beside_it(site, Beside.SCRATCH) == ()


def test_id_and_path_and_latest_lead_to_the_same_dump(either_way: Node) -> None:
    site = either_way
    made = back_up(site)
    for wanted in ("latest", made.generation.id, made.dump, f"the backups/{made.dump.name}"):
        assert bring_back(site, wanted).generation == made.generation.id


def test_planner_has_statistics_afterwards(either_way: Node) -> None:
    site = either_way
    back_up(site)
    bring_back(site)
    assert site.rows("SELECT reltuples::int FROM pg_class WHERE oid = 'cn_relay.events'::regclass") == [(300,)]
    assert site.rows("SELECT count(*) > 0 FROM pg_stats WHERE schemaname = 'cn_relay' AND tablename = 'events'") == [
        (True,)
    ]


def test_sessions_of_others_do_not_keep_the_database(either_way: Node) -> None:
    site = either_way
    back_up(site)
    with psycopg.connect(make_conninfo(**site.stack.conninfo(site.database))) as other:
        other.execute("LOCK TABLE cn_relay.events IN ACCESS EXCLUSIVE MODE")
        assert bring_back(site).generation
        with pytest.raises(psycopg.OperationalError, match="terminating connection"):
            other.execute("SELECT 1")


def test_dump_without_a_manifest_is_restored_with_a_warning(either_way: Node) -> None:
    site = either_way
    before = site.content()
    made = back_up(site)
    by_hand = site.folder / "by hand.dump"
    by_hand.write_bytes(made.dump.read_bytes())
    site.rows(DAMAGE)
    result = bring_back(site, by_hand)
    assert site.content() == before
    assert (result.generation, result.tables, result.rows) == (None, None, None)
    assert any("no manifest" in warning for warning in result.warnings)
    assert {one.name: one.status for one in result.phases}["verify"] is Status.SKIPPED


def test_plan_changes_nothing(site: Node) -> None:
    made = back_up(site)
    site.rows("DELETE FROM cn_relay.event_topics")
    before, files = site.content(), site.backup_files()
    with site.operation() as operation:
        plan = plan_restore(operation, "latest", site.folder)
    assert plan.recreation.manifest == str(made.generation.manifest_file)
    assert (plan.recreation.old_oid is not None, plan.writers) == (True, ())
    assert plan.size_now
    assert beside_it(site, Beside.INCOMING) == ()
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


def test_load_that_fails_beside_leaves_the_live_database_and_nothing_else(site: Node, tools: Tools) -> None:
    before = site.content()
    back_up(site)
    tools(site, pg_restore='case "$*" in *--exit-on-error*) echo no memory >&2; exit 1;; esac; exec {real} "$@"')
    with pytest.raises(OperationFailed) as failed:
        bring_back(site)
    assert "as it was" in failed.value.state
    assert "no memory" in failed.value.evidence
    assert [beside_it(site, kind) for kind in Beside] == [()] * 3
    assert site.content() == before
    assert site.journal is None


def test_load_that_fails_once_the_old_one_is_dropped_says_so_and_healing_finishes_it(
    new_site: NewSite, tools: Tools
) -> None:
    site: Node = new_site(restore={"strategy": "recreate"})
    before = site.content()
    back_up(site)
    tools(site, pg_restore='case "$*" in *--exit-on-error*) echo no memory >&2; exit 1;; esac; exec {real} "$@"')
    with pytest.raises(OperationFailed) as failed:
        bring_back(site)
    assert f"the database {site.database!r} is not there, and its writers are stopped" in failed.value.state
    assert "`inv heal` restores it" in failed.value.state
    assert "no memory" in failed.value.evidence
    site.change({"stack": {"embedded": {"bin_dir": None}}})
    assert heal_it(site)
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


@pytest.mark.parametrize("options", ["INHERIT FALSE, SET TRUE", "INHERIT TRUE, SET FALSE"])
@pytest.mark.parametrize("strategy", ["beside", "recreate"])
def test_role_that_could_not_make_or_rename_the_database_is_refused_before_anything_is_touched(
    strategy: str, options: str, site: Node, server: EmbeddedStack
) -> None:
    """It is a member of the owner, and has not all of its rights."""
    role, owner = f"{site.database}_plain", f"{site.database}_owner"
    before = site.content()
    execute(server, "CREATE ROLE {} LOGIN CREATEDB", role)
    execute(server, "CREATE ROLE {}", owner)
    try:
        execute(server, f"GRANT {{}} TO {{}} WITH {options}", owner, role)
        execute(server, "ALTER DATABASE {} OWNER TO {}", site.database, owner)
        back_up(site)
        site.change({"stack": {"postgres": {"user": role}}, "restore": {"strategy": strategy}})
        with pytest.raises(UsageError, match=f"{role}' may not act as '{owner}'") as failed:
            bring_back(site)
    finally:
        site.change({"stack": {"postgres": {"user": "cn"}}})
        execute(server, "ALTER DATABASE {} OWNER TO {}", site.database, "cn")
        execute(server, "DROP ROLE {}, {}", role, owner)
    assert tells_everything(failed.value)
    assert (site.content(), site.journal) == (before, None)


def test_restore_goes_on_when_nobody_listens_any_more(either_way: Node) -> None:
    """As with `inv restore … 2>&1 | head -3`."""
    site = either_way
    before = site.content()
    back_up(site)
    site.rows(DAMAGE)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = site.run("restore", "--dump=latest", "--yes", stderr=writing)
    finally:
        os.close(writing)
    assert done.returncode == 0
    assert "restored" in done.stdout
    assert (site.content(), site.journal) == (before, None)


def test_fall_before_the_newest_generation_is_told_of(site: Node) -> None:
    site.change({"backup": {"suspicious_share": 0.05}})

    def told() -> bool:
        with site.operation("restore") as operation:
            plan_restore(operation, "latest", site.folder)
            return any("was something lost before it was backed up" in one for one in operation.phases.warnings)

    back_up(site)
    back_up(site)
    assert not told()
    site.rows("TRUNCATE cn_relay.events CASCADE")
    for _ in range(2):  # a second one of the same little does not hide it
        back_up(site)
        assert told()


def test_no_room_for_the_database_is_noticed_before_anything_is_touched(
    site: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(site)
    before = site.content()
    monkeypatch.setattr(EmbeddedStack, "free_bytes", lambda _: 0)
    site.rows("DROP SCHEMA cn_user CASCADE")  # smaller than what is to come back
    made = back_up(site)
    bigger = dataclasses.replace(made.manifest, database_size_bytes=1 << 50)
    write_manifest(made.generation.manifest_file, bigger, read_fingerprint(made.generation.manifest_file))
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
    for path in site.backups.glob(f"{made.dump.stem}.*"):
        path.rename(elsewhere / path.name)
    assert bring_back(site, elsewhere / made.dump.name).generation == made.generation.id
    assert site.content() == before


@pytest.mark.parametrize("change", ["removed", "another one"])
def test_dump_that_goes_while_a_person_is_asked_loses_nothing(change: str, either_way: Node, tmp_path: Path) -> None:
    """Outside the backup folder no lock keeps others away from it."""
    site = either_way
    made = back_up(site)
    elsewhere = tmp_path / "elsewhere.dump"
    elsewhere.write_bytes(made.dump.read_bytes())
    before = site.content()

    def confirm(_: object) -> None:
        elsewhere.unlink()
        if change == "another one":
            elsewhere.write_bytes(made.dump.read_bytes())

    with site.operation("restore") as operation, pytest.raises(OperationFailed, match="since it was") as failed:
        restore(operation, str(elsewhere), site.folder, confirm)
    assert tells_everything(failed.value)
    assert (site.content(), site.journal) == (before, None)


def test_sql_file_that_cannot_be_read_is_named_before_anything_is_touched(either_way: Node) -> None:
    site = either_way
    back_up(site)
    site.change({"restore": {"after": [str(site.folder / "missing.sql")]}})
    before = site.content()
    with pytest.raises(OperationFailed, match=re.escape("missing.sql")) as failed:
        bring_back(site)
    assert tells_everything(failed.value)
    assert (site.content(), site.journal) == (before, None)
    assert beside_it(site, Beside.INCOMING) == ()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_named_before_anything_is_touched(
    make: Callable[[Path], None], site: Node, tmp_path: Path
) -> None:
    """Whoever opens a pipe waits for its other end."""
    back_up(site)
    odd = tmp_path / "odd.sql"
    make(odd)
    site.change({"restore": {"after": [str(odd)]}})
    with pytest.raises(UsageError, match=re.escape(f"{odd} is not a regular file")) as failed:
        bring_back(site)
    assert tells_everything(failed.value)
    assert site.journal is None


@pytest.mark.parametrize("odd", ["no-such-generation", "/dev/null"])
def test_no_server_is_started_for_a_dump_that_is_none(odd: str, site: Node) -> None:
    site.stack.stop([site.settings.stack.postgres.service])
    try:
        with pytest.raises(UsageError) as failed:
            bring_back(site, odd)
        assert failed.value.state == "nothing was changed"
        assert site.stack.running() == ()
    finally:
        site.stack.start_postgres()


@pytest.mark.parametrize("dry_run", [True, False])
def test_server_that_is_started_for_a_check_is_told_of(dry_run: bool, site: Node) -> None:
    made = back_up(site)
    cut = made.generation.dump
    cut.write_bytes(cut.read_bytes()[:-1] + b"x")
    site.stack.stop([site.settings.stack.postgres.service])
    done = site.run("restore", f"--dump={made.generation.id}", *(["--dry-run"] if dry_run else []))
    assert done.returncode == ExitCode.NOT_EQUAL
    assert f"now: the server {site.settings.stack.postgres.service} was started, and nothing else was changed" in (
        " ".join(done.stderr.split())
    )
    assert "nothing was changed" in site.run("restore", f"--dump={made.generation.id}").stderr


def test_sql_file_that_goes_meanwhile_is_missed_before_anything_is_dropped(new_site: NewSite) -> None:
    site = new_site(restore={"strategy": "recreate"})
    before = site.content()
    back_up(site)
    script = site.folder / "after.sql"
    script.write_text("SELECT 1")
    site.change({"restore": {"after": [str(script)]}})
    with (
        site.operation("restore") as operation,
        pytest.raises(OperationFailed, match=re.escape("after.sql")) as failed,
    ):
        restore(operation, "latest", site.folder, lambda _: script.unlink())
    assert "is as it was" in failed.value.state
    assert (site.content(), site.journal) == (before, None)


def of_another_cluster(generation: Generation, cluster: str = "1") -> None:
    document = json.loads(generation.manifest_file.read_text())
    generation.manifest_file.write_text(json.dumps({**document, "system_identifier": cluster}))


def test_newest_generation_of_another_cluster_is_taken_only_by_its_name(site: Node) -> None:
    """As of a drill on another stack of this project: its database has the same name."""
    before = site.content()
    own = back_up(site).generation
    other = back_up(site).generation
    of_another_cluster(other)
    with pytest.raises(UsageError, match="another cluster") as failed:
        bring_back(site)
    assert tells_everything(failed.value)
    assert f"--dump={other.id}" in failed.value.hint
    assert f"--dump={own.id}" in failed.value.hint
    assert site.content() == before
    assert any("another cluster" in one for one in bring_back(site, other.id).warnings)
    assert bring_back(site, own.id).warnings == ()


def test_first_backup_of_a_cluster_tells_of_those_of_another(site: Node) -> None:
    """A server that was made anew is empty, and looks healthy."""
    assert back_up(site).warnings == ()
    of_another_cluster(back_up(site).generation)
    assert back_up(site).warnings == ()  # there is one of this cluster
    for one in read_catalogue(site.backups, "node").generations:
        of_another_cluster(one)
    (warning,) = back_up(site).warnings
    assert "no earlier generation of" in warning


def test_after_a_loss_nobody_guesses_which_of_two_clusters_is_meant(site: Node) -> None:
    """A drill's generation may be the newest."""
    real, drill = back_up(site).generation, back_up(site).generation
    of_another_cluster(real, "1")
    of_another_cluster(drill, "2")
    before = site.content()
    with pytest.raises(UsageError, match="another cluster") as failed:
        bring_back(site)
    assert f"--dump={drill.id}, --dump={real.id}" in failed.value.hint
    assert site.content() == before
    assert bring_back(site, real.id).generation == real.id


def test_generation_of_a_cluster_that_was_lost_comes_back_with_a_warning(site: Node) -> None:
    before = site.content()
    of_another_cluster(back_up(site).generation)
    assert any("a server was lost" in one for one in bring_back(site).warnings)
    assert site.content() == before
