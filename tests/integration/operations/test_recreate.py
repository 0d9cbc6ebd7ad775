"""What a killed restore left is finished, and never is a database touched that is somebody else's work."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import cn_ops.postgres.database as db
from cn_ops.backup import backup
from cn_ops.beside import restore_incoming, settle
from cn_ops.errors import ExitCode, LockHeld, OperationFailed, UsageError, VerificationFailed
from cn_ops.names import Beside
from cn_ops.postgres.server_lock import server_lock
from cn_ops.postgres.session import session
from cn_ops.record import unfinished
from cn_ops.replacement import plan_recreation
from cn_ops.restore import restore
from cn_ops.source import Source
from cn_ops.stack.embedded import EmbeddedStack
from tests.support.left import HALF, Left, breaking, expect_another_row
from tests.support.nodes import Node
from tests.support.operations import Tools, back_up, beside_it, bring_back, execute, heal_it, tells_everything


def test_killed_before_the_drop_leaves_the_database_as_it_was(left: Left) -> None:
    left.site.rows("DELETE FROM cn_relay.event_topics")
    there = left.site.content()
    left.record(left.plan)
    assert heal_it(left.site)
    assert left.site.content() == there
    assert left.site.journal is None


def test_killed_after_the_drop_with_nothing_made_is_finished(left: Left, server: EmbeddedStack) -> None:
    left.record(left.plan)
    execute(server, "DROP DATABASE {}", left.site.database)
    assert heal_it(left.site)
    assert left.site.content() == left.before


def test_live_database_that_somebody_has_made_anew_does_not_keep_it_from_being_finished(
    left: Left, server: EmbeddedStack
) -> None:
    left.record(left.plan)
    left.made_anew(server)
    assert heal_it(left.site)
    assert left.site.content() == left.before


def test_killed_while_loading_is_finished(left: Left) -> None:
    incoming = left.dropped()
    left.site.rows("CREATE SCHEMA cn_relay; CREATE TABLE cn_relay.half (n int)", incoming)
    assert heal_it(left.site)
    assert left.site.content() == left.before
    assert left.site.journal is None
    assert beside_it(left.site, Beside.INCOMING) == ()


def test_what_came_back_and_is_not_equal_is_kept_and_can_be_taken_as_it_is(left: Left, server: EmbeddedStack) -> None:
    events = "table cn_relay.events: expected 301 rows; found 300 rows"
    left.site.change({"restore": {"owners": True}})
    expect_another_row(Path(str(left.plan.manifest)))
    with pytest.raises(VerificationFailed, match="1 difference") as failed:
        bring_back(left.site)
    (incoming,) = beside_it(left.site, Beside.INCOMING)
    assert events in failed.value.evidence
    assert f"{left.site.database!r} is not there; what came back is kept as {incoming!r}" in failed.value.state
    assert failed.value.state.endswith("until the next command restores it again, and its writers are stopped")
    with pytest.raises(VerificationFailed) as again:
        heal_it(left.site)
    assert events in again.value.evidence
    (incoming,) = beside_it(left.site, Beside.INCOMING)
    assert incoming in again.value.state
    assert not set(left.site.stack.running()) & set(left.site.stack.writers)
    execute(server, "ALTER DATABASE {} RENAME TO {}", incoming, left.site.database)
    assert heal_it(left.site)
    assert (left.site.content(), left.site.journal) == (left.before, None)


@pytest.mark.parametrize("change", [Path.unlink, lambda dump: dump.write_bytes(b"another")], ids=["gone", "changed"])
def test_what_came_back_is_kept_when_its_dump_is_not_there_any_more(
    left: Left, change: Callable[[Path], None]
) -> None:
    """It may be the only copy."""
    incoming = left.dropped()
    left.site.rows("CREATE TABLE public.precious AS SELECT 1 AS n", incoming)
    change(Path(left.plan.dump))
    for _ in range(2):
        with pytest.raises(OperationFailed, match="gone or has changed") as refused:
            heal_it(left.site)
        assert f"what came back of it is kept as {incoming!r}" in refused.value.state
        assert tells_everything(refused.value)
        assert left.site.rows("SELECT n FROM public.precious", incoming) == [(1,)]


def test_database_that_cannot_be_made_again_is_not_dropped(left: Left) -> None:
    with left.site.operation("restore") as operation:
        wanted = replace(left.plan, properties=replace(left.plan.properties, tablespace="gone"))
        with pytest.raises(OperationFailed, match="gone"):
            restore_incoming(operation, wanted, lambda _: None)
        assert "is as it was" in settle(operation)
    assert left.site.content() == left.before
    assert left.site.journal is None


def test_damage_of_a_drill_is_undone(left: Left) -> None:
    left.record(replace(left.plan, damaged=True))
    left.site.rows(HALF)
    assert heal_it(left.site)
    assert left.site.content() == left.before


def test_database_that_somebody_made_meanwhile_is_left_alone(left: Left, server: EmbeddedStack) -> None:
    left.record(replace(left.plan, new_oid=left.oid() + 1_000_000))
    left.made_anew(server)
    left.site.rows("CREATE TABLE public.precious (n int); INSERT INTO public.precious VALUES (1)")
    assert heal_it(left.site)
    assert left.site.rows("SELECT n FROM public.precious") == [(1,)]
    assert left.site.journal is None


def test_database_with_content_that_nobody_recorded_is_left_alone(left: Left, server: EmbeddedStack) -> None:
    left.record(left.plan)
    left.made_anew(server)
    left.site.rows("CREATE TABLE public.precious (n int); INSERT INTO public.precious VALUES (1)")
    assert heal_it(left.site)
    assert left.site.rows("SELECT n FROM public.precious") == [(1,)]


def test_database_of_another_cluster_is_left_alone(left: Left, server: EmbeddedStack) -> None:
    left.record(replace(left.plan, system_identifier="1", damaged=True))
    left.site.rows(HALF)
    there = left.site.content()
    assert heal_it(left.site)
    assert left.site.content() == there


def test_record_of_one_database_says_nothing_of_another(left: Left, new_site: Callable[..., Node]) -> None:
    """The stack is the same, and so is its journal."""
    other = new_site()
    other.change({"backup": {"directory": str(left.site.backups)}, "state": str(left.site.settings.state)})
    back_up(other)
    left.record(left.plan)
    left.made_anew(left.site.stack)
    before = other.content()
    with pytest.raises(OperationFailed, match="still on record") as refused:
        bring_back(other)
    assert tells_everything(refused.value)
    assert other.content() == before
    with other.operation("restore") as operation:
        assert unfinished(operation) is None
    with left.site.operation("restore") as operation:
        assert unfinished(operation) == left.plan
    assert heal_it(other), "whoever heals this stack heals what is on record"
    assert (left.site.content(), other.content()) == (left.before, before)
    assert bring_back(other).rows


def test_nobody_backs_up_what_is_being_healed(left: Left, tools: Tools) -> None:
    left.record(left.plan)
    left.made_anew(left.site.stack)
    with server_lock(left.site.stack, left.site.database, shared=True), pytest.raises(LockHeld) as refused:
        heal_it(left.site)
    assert tells_everything(refused.value)
    assert left.site.journal
    assert heal_it(left.site)
    assert left.site.content() == left.before


def test_half_restored_database_is_never_taken_for_the_live_one(
    left: Left, new_site: Callable[..., Node], tools: Tools
) -> None:
    """Another checkout's journal is elsewhere, and what it made would push the last good generation out."""
    site, generations = left.site, {one.name for one in left.site.backups.iterdir()}
    with breaking(site, tools), pytest.raises(OperationFailed):
        bring_back(site)
    elsewhere = new_site(site.database + "_not")
    elsewhere.change({"stack": {"postgres": {"database": site.database}}, "backup": {"directory": str(site.backups)}})
    refused = elsewhere.run("backup")
    assert refused.returncode == ExitCode.MISSING
    assert f"the server has no database {site.database!r}" in refused.stderr
    assert {one.name for one in site.backups.iterdir()} == generations
    assert heal_it(site)
    assert site.content() == left.before


def test_healing_that_makes_nothing_anew_does_not_wait_for_a_backup(left: Left) -> None:
    """The live database is whole, and its writers are to run again."""
    left.record(left.plan)
    with server_lock(left.site.stack, left.site.database, shared=True):
        assert heal_it(left.site)
    assert (left.site.content(), left.site.journal) == (left.before, None)


def test_needed_dump_is_known_however_it_is_spelt(left: Left) -> None:
    folder = Path(left.plan.dump).parent
    left.record(replace(left.plan, damaged=True, dump=str(folder / ".." / folder.name / Path(left.plan.dump).name)))
    with left.site.operation("backup") as operation:
        backup(operation)
    left.site.ok("prune", "--keep=1")
    assert Path(left.plan.dump).exists()


def test_database_with_nothing_but_a_function_is_not_taken_for_a_new_one(left: Left) -> None:
    left.record(left.plan)
    left.made_anew(left.site.stack)
    left.site.rows("CREATE FUNCTION public.precious() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    heal_it(left.site)
    assert left.site.rows("SELECT public.precious()") == [(1,)]


def test_service_that_is_no_writer_any_more_does_not_stop_healing(left: Left) -> None:
    left.record(left.plan, stopped=("renamed",))
    left.made_anew(left.site.stack)
    assert heal_it(left.site)
    assert (left.site.content(), left.site.journal) == (left.before, None)


def test_killed_drill_s_dump_is_not_pruned_as_long_as_it_is_needed(left: Left) -> None:
    needed = left.plan.dump
    left.record(replace(left.plan, damaged=True))
    with left.site.operation("backup") as operation:
        for _ in range(2):
            backup(operation)
    done = left.site.run("prune", "--keep=1", "--json")
    kept = {one["id"]: one["reason"] for one in json.loads(done.stdout)["decisions"] if one["keep"]}
    assert len(kept) == 2
    assert any("inv heal" in reason for reason in kept.values())
    left.site.rows(HALF)
    assert Path(needed).exists()
    assert heal_it(left.site)
    assert left.site.content() == left.before


def test_missing_database_of_another_cluster_is_not_made(left: Left, server: EmbeddedStack) -> None:
    left.record(replace(left.plan, system_identifier="1"))
    execute(server, "DROP DATABASE {}", left.site.database)
    assert heal_it(left.site)
    with session(left.site.stack, "postgres") as connection:
        assert not db.exists(connection, left.site.database)


def test_half_restored_database_with_a_writer_at_work_is_refused(left: Left) -> None:
    left.site.stack.start(left.site.stack.writers[:1])
    left.record(replace(left.plan, damaged=True))
    there = left.site.content()["cn_relay.events"]
    with pytest.raises(OperationFailed, match=left.site.stack.writers[0]) as failed:
        heal_it(left.site)
    assert tells_everything(failed.value)
    assert left.site.content()["cn_relay.events"] == there
    assert left.site.journal is not None
    left.site.stack.stop(left.site.stack.writers)
    assert heal_it(left.site)
    assert left.site.content() == left.before


@pytest.mark.parametrize("change", ["gone", "changed"])
def test_dump_that_is_gone_or_changed_is_never_loaded(left: Left, change: str) -> None:
    left.record(replace(left.plan, damaged=True))
    left.site.rows(HALF)
    there = left.site.content()
    dump = next(left.site.backups.glob("*.dump"))
    if change == "gone":
        dump.unlink()
    else:
        dump.write_bytes(dump.read_bytes()[:-1] + b"?")
    with pytest.raises(OperationFailed, match="gone or has changed") as failed:
        heal_it(left.site)
    assert tells_everything(failed.value)
    assert left.site.content() == there
    assert left.site.journal is not None


def test_restore_of_another_generation_takes_over_what_a_killed_one_left(left: Left) -> None:
    left.dropped()
    bring_back(left.site)
    assert left.site.content() == left.before
    assert left.site.journal is None
    assert beside_it(left.site, Beside.INCOMING) == ()


@pytest.mark.parametrize("how", ["dropped", "made anew by somebody", "damaged"])
def test_restore_that_takes_over_and_is_killed_in_turn_does_not_pass_the_damage_off_as_whole(
    left: Left, server: EmbeddedStack, how: str
) -> None:
    """The second restore finds a database of which it only knows the number: the record knows it is not whole."""
    if how == "damaged":
        left.record(replace(left.plan, damaged=True))
        left.site.rows(HALF)
    elif how == "dropped":
        left.dropped()
    else:
        left.record(left.plan)
        left.made_anew(server)
    with left.site.operation("restore") as operation:
        again = plan_recreation(operation, Source(next(left.site.backups.glob("*.dump")), None), left.plan.sha256)
        operation.intend(recreating=again)  # and here it is killed
    assert heal_it(left.site)
    assert left.site.content() == left.before


def test_restore_beside_that_fails_does_not_take_a_lost_database_off_the_record(
    left: Left, server: EmbeddedStack, tools: Tools
) -> None:
    left.record(left.plan)
    execute(server, "DROP DATABASE {}", left.site.database)
    left.site.change({"restore": {"strategy": "beside"}})
    with breaking(left.site, tools), pytest.raises(OperationFailed, match="pg_restore") as failed:
        bring_back(left.site)
    assert "is not there" in failed.value.state
    assert "`inv heal` restores it" in failed.value.state
    assert heal_it(left.site)
    assert left.site.content() == left.before
    assert left.site.journal is None


@pytest.fixture
def undroppable(left: Left) -> Iterator[Callable[[], None]]:
    """Begins a restore, and lets somebody keep the database from being dropped once everything is checked."""
    held = "BEGIN; CREATE TABLE public.later (); PREPARE TRANSACTION 'held'"

    def hold(_: object) -> None:
        left.site.rows(held)

    def begin() -> None:
        with left.site.operation("restore") as operation:
            restore(operation, "latest", left.site.folder, hold)

    yield begin
    left.site.rows("ROLLBACK PREPARED 'held'")


def test_failure_before_anything_is_touched_says_so_and_leaves_no_record(
    left: Left, undroppable: Callable[[], None]
) -> None:
    with pytest.raises(UsageError, match="prepared transactions") as failed:
        undroppable()
    assert "as it was" in failed.value.state
    assert left.site.content() == left.before
    assert left.site.journal is None


def test_failure_before_anything_is_touched_keeps_the_record_of_earlier_damage(
    left: Left, undroppable: Callable[[], None]
) -> None:
    left.record(replace(left.plan, damaged=True))
    left.site.rows(HALF)
    with pytest.raises(UsageError, match="prepared transactions") as failed:
        undroppable()
    assert "as it was" not in failed.value.state
    assert left.site.journal is not None
    assert left.site.journal.recreating is not None


def test_another_database_is_never_touched_by_a_restore(left: Left, server: EmbeddedStack, tools: Tools) -> None:
    other = f"{left.site.database}_other"
    execute(server, "CREATE DATABASE {} TEMPLATE {}", other, left.site.database)
    try:
        with session(server, "postgres") as connection:
            before = db.identity(connection, other)
        bring_back(left.site)
        with session(server, "postgres") as connection:
            assert db.identity(connection, other) == before
    finally:
        execute(server, "DROP DATABASE {} WITH (FORCE)", other)


def test_restored_stack_that_a_killed_drill_had_started_is_not_taken_down_later(left: Left) -> None:
    left.record(left.plan, started_stack=True)
    bring_back(left.site)
    assert left.site.journal is None
    assert left.site.content() == left.before


def test_database_whose_drop_was_interrupted_is_not_passed_off_as_untouched(
    left: Left, server: EmbeddedStack
) -> None:
    """PostgreSQL keeps its name and number, and lets nobody in."""
    left.record(left.plan)
    execute(server, f"UPDATE pg_database SET datconnlimit = -2 WHERE datname = '{left.site.database}'")
    assert heal_it(left.site)
    assert left.site.content() == left.before
    assert left.site.journal is None
