"""Nothing is dropped that may be the only copy, or that is somebody else's work; each case was found by an attack."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import cn_ops.heal
import cn_ops.proof
import cn_ops.replacement
from cn_ops.errors import ExitCode, LockHeld, OperationFailed, OpsError, UsageError, VerificationFailed
from cn_ops.names import Beside
from cn_ops.postgres.server_lock import server_lock
from cn_ops.replacement import plan_recreation
from cn_ops.restore import restore
from cn_ops.restore_plan import plan_restore
from cn_ops.source import Source
from cn_ops.stack.embedded import EmbeddedStack
from tests.support.left import HALF, Left, breaking, expect_another_row
from tests.support.nodes import Node
from tests.support.operations import Tools, back_up, beside_it, bring_back, execute, heal_it, tells_everything
from tests.support.processes import wait_until

PRECIOUS = "CREATE TABLE public.precious AS SELECT 1 AS n"


@pytest.fixture
def kept(left: Left) -> str:
    """The name of what came back and was not equal; the live database is gone."""
    expect_another_row(Path(str(left.plan.manifest)))
    with pytest.raises(VerificationFailed):
        bring_back(left.site)
    (incoming,) = beside_it(left.site, Beside.INCOMING)
    left.site.rows(PRECIOUS, incoming)
    return incoming


def is_precious(site: Node, database: str | None = None) -> bool:
    return site.rows("SELECT n FROM public.precious", database or site.database) == [(1,)]


@contextmanager
def killed_while_it_waits(
    left: Left, server: EmbeddedStack, blocking: str, waiting: str, *command: str
) -> Iterator[None]:
    """Kill a command whose statement waits for another session's; that one is rolled back after the block."""
    waits = f"SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '{waiting}' AND state = 'active')"
    with psycopg.connect(make_conninfo(**server.conninfo("postgres"))) as blocker:
        blocker.execute(blocking.encode())
        killed = left.site.start(*command)
        wait_until(lambda: bool(left.site.rows(waits, "postgres")[0][0]), 30)
        killed.kill()
        killed.communicate()
        yield
        blocker.rollback()


def test_refused_restore_keeps_what_an_earlier_one_has_brought(left: Left, kept: str) -> None:
    def refuse(_: object) -> None:
        raise UsageError("somebody said no", state="nothing was changed")

    with pytest.raises(UsageError):
        bring_back(left.site, "20200101-000000")
    with left.site.operation("restore") as operation, pytest.raises(UsageError):
        restore(operation, "latest", left.site.folder, refuse)
    assert is_precious(left.site, kept)


def test_healing_that_has_to_wait_keeps_it(left: Left, kept: str) -> None:
    with server_lock(left.site.stack, left.site.database, shared=True), pytest.raises(LockHeld):
        heal_it(left.site)
    assert is_precious(left.site, kept)


def test_restore_of_another_database_keeps_it(left: Left, kept: str, new_site: Callable[..., Node]) -> None:
    other = new_site()
    other.change({"backup": {"directory": str(left.site.backups)}, "state": str(left.site.settings.state)})
    with pytest.raises(OpsError):
        bring_back(other)
    assert is_precious(left.site, kept)


def test_it_is_kept_and_named_when_somebody_has_made_the_live_database_anew(
    left: Left, kept: str, server: EmbeddedStack
) -> None:
    """As a starting node does, that migrates an empty database."""
    execute(server, "CREATE DATABASE {}", left.site.database)
    left.site.rows("CREATE TABLE public.migrated (n int)")
    Path(left.plan.dump).unlink()
    said = left.site.ok("heal")
    assert f"is another one than was to be replaced; what came back is kept as {kept!r}" in said
    assert is_precious(left.site, kept)
    assert left.site.journal is None


def test_restore_of_another_dump_keeps_it_when_its_own_is_gone(left: Left, kept: str) -> None:
    other = left.site.folder / "other.dump"
    Path(left.plan.dump).rename(other)
    result = bring_back(left.site, other)
    assert any(f"is kept as {kept!r}" in one for one in result.warnings)
    assert is_precious(left.site, kept)


def test_undo_needs_no_healing_that_cannot_end_well(left: Left) -> None:
    left.site.change({"restore": {"strategy": "beside"}})
    bring_back(left.site)
    left.site.rows("DELETE FROM cn_relay.event_topics")
    left.site.change({"restore": {"strategy": "recreate"}})
    expect_another_row(Path(str(left.plan.manifest)))
    with pytest.raises(VerificationFailed):
        bring_back(left.site)
    left.site.ok("restore", "--undo", "--yes")
    assert (left.site.content(), left.site.journal) == (left.before, None)
    assert len(beside_it(left.site, Beside.INCOMING)) == 1


@pytest.mark.parametrize("moment", ["is_dump_there", "server_lock"])
def test_database_that_somebody_makes_while_healing_looks_is_left_alone(
    moment: str, left: Left, server: EmbeddedStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    left.dropped()
    real = getattr(cn_ops.heal, moment)

    def slow(*arguments: Any, **options: Any) -> Any:
        execute(server, "CREATE DATABASE {}", left.site.database)
        left.site.rows(PRECIOUS)
        return real(*arguments, **options)

    monkeypatch.setattr(cn_ops.heal, moment, slow)
    heal_it(left.site)
    assert is_precious(left.site)


def test_database_that_somebody_makes_while_a_restore_loads_is_set_aside(
    left: Left, server: EmbeddedStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = cn_ops.replacement.fill

    def slow(*arguments: Any, **options: Any) -> None:
        execute(server, "CREATE DATABASE {}", left.site.database)
        left.site.rows(PRECIOUS)
        real(*arguments, **options)

    monkeypatch.setattr("cn_ops.beside.fill", slow)
    previous = bring_back(left.site).previous
    assert left.site.content() == left.before
    assert is_precious(left.site, previous)


def test_database_that_has_the_incoming_name_is_left_alone(left: Left, server: EmbeddedStack) -> None:
    left.dropped()
    execute(server, "DROP DATABASE {} WITH (FORCE)", left.plan.incoming)
    execute(server, "CREATE DATABASE {}", left.plan.incoming)
    left.site.rows(PRECIOUS, left.plan.incoming)
    assert heal_it(left.site)
    assert left.site.content() == left.before
    assert is_precious(left.site, left.plan.incoming)


def test_database_made_between_two_killed_restores_is_nobody_s_damage(left: Left, server: EmbeddedStack) -> None:
    left.dropped()
    execute(server, "CREATE DATABASE {}", left.site.database)
    with left.site.operation("restore") as operation:
        again = plan_recreation(operation, Source(Path(left.plan.dump), None), left.plan.sha256)
        operation.intend(recreating=again)  # and here it is killed
    left.site.rows(PRECIOUS)
    assert heal_it(left.site)
    assert is_precious(left.site)


def test_drop_that_waits_when_its_command_is_killed_is_not_done_later(left: Left, server: EmbeddedStack) -> None:
    """Killed, it has no say any more; its statement goes on in the server."""
    blocking = f"COMMENT ON DATABASE {left.site.database} IS 'mine'"
    with killed_while_it_waits(left, server, blocking, "DROP DATABASE%", "restore", "--dump=latest", "--yes"):
        left.site.ok("heal")
        assert left.site.journal is None
    time.sleep(0.5)
    assert left.site.content() == left.before


def test_database_that_could_not_be_dropped_is_what_it_was(left: Left, server: EmbeddedStack) -> None:
    subscriptions = "SELECT subname::text, subenabled FROM pg_subscription"
    left.site.rows("CREATE SUBSCRIPTION held CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false)")
    execute(server, "ALTER DATABASE {} IS_TEMPLATE true", left.site.database)

    def hold(_: object) -> None:
        left.site.rows("BEGIN; CREATE TABLE public.later (); PREPARE TRANSACTION 'held'")

    with left.site.operation("restore") as operation, pytest.raises(UsageError, match="prepared") as failed:
        restore(operation, "latest", left.site.folder, hold)
    left.site.rows("ROLLBACK PREPARED 'held'")
    assert "is as it was" in failed.value.state
    assert left.site.rows(subscriptions) == [("held", False)]
    assert left.site.rows("SELECT datistemplate FROM pg_database WHERE datname = current_database()") == [(True,)]
    execute(server, "ALTER DATABASE {} IS_TEMPLATE false", left.site.database)
    for statement in ("ALTER SUBSCRIPTION held SET (slot_name = NONE)", "DROP SUBSCRIPTION held"):
        left.site.rows(statement)


def test_first_restore_that_fails_leaves_nothing_to_heal(left: Left, server: EmbeddedStack, tools: Tools) -> None:
    execute(server, "DROP DATABASE {} WITH (FORCE)", left.site.database)
    with left.site.operation("restore") as operation:
        assert operation.journal.read() is None
    with breaking(left.site, tools), pytest.raises(OperationFailed):
        bring_back(left.site)
    assert left.site.journal is None
    assert beside_it(left.site, Beside.INCOMING) == ()


@pytest.mark.parametrize("strategy", ["beside", "recreate"])
def test_packed_dump_that_changes_while_it_is_loaded_is_not_said_to_have_changed_nothing(
    strategy: str, new_site: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = new_site(backup={"preset": "parallel", "compress": None}, restore={"strategy": strategy})
    before = site.content()
    dump = back_up(site).dump
    whole = dump.read_bytes()
    real = cn_ops.replacement.fill

    def cut(*arguments: Any, **options: Any) -> None:
        dump.write_bytes(whole[:-2048])
        real(*arguments, **options)

    monkeypatch.setattr("cn_ops.beside.fill", cut)
    with pytest.raises(OpsError) as failed:
        bring_back(site)
    monkeypatch.undo()
    now = "as it was" if strategy == "beside" else "not there"
    assert f"the database {site.database!r} is {now}" in failed.value.state
    assert tells_everything(failed.value)
    dump.write_bytes(whole)
    assert heal_it(site) == (strategy == "recreate")
    assert (site.content(), site.journal, beside_it(site, Beside.INCOMING)) == (before, None, ())


def test_state_of_the_writers_is_looked_at_and_not_guessed(left: Left, tools: Tools) -> None:
    """Somebody has started one by hand; a restore by name goes on all the same."""
    left.site.change({"restore": {"strategy": "beside"}})
    left.record(replace(left.plan, damaged=True, drop_first=False))
    writer = left.site.stack.writers[0]
    left.site.stack.start([writer])
    with breaking(left.site, tools), pytest.raises(OperationFailed) as failed:
        bring_back(left.site)
    assert f"is not whole, and {writer} runs;" in failed.value.state


def test_failure_of_a_healing_tells_everything(left: Left, tools: Tools) -> None:
    left.dropped()
    with breaking(left.site, tools), pytest.raises(OperationFailed) as failed:
        heal_it(left.site)
    assert "is not there, and its writers are stopped" in failed.value.state
    assert tells_everything(failed.value)
    assert heal_it(left.site)
    assert (left.site.content(), beside_it(left.site, Beside.INCOMING)) == (left.before, ())


def test_what_to_do_with_it_works_as_it_is_written(left: Left, server: EmbeddedStack) -> None:
    """A damaged live database has the name that the kept one is to get."""
    left.site.change({"restore": {"strategy": "beside"}})
    left.record(replace(left.plan, damaged=True, drop_first=False))
    left.site.rows(HALF)
    expect_another_row(Path(str(left.plan.manifest)))
    with pytest.raises(VerificationFailed) as failed:
        heal_it(left.site)
    (incoming,) = beside_it(left.site, Beside.INCOMING)
    look = failed.value.hint.split("`")[1]
    compared = left.site.run(*shlex.split(look)[1:])
    assert compared.returncode == ExitCode.NOT_EQUAL, compared.stderr
    assert "rename or drop the other one, rename it" in failed.value.hint
    execute(server, "DROP DATABASE {} WITH (FORCE)", left.site.database)
    execute(server, "ALTER DATABASE {} RENAME TO {}", incoming, left.site.database)
    assert heal_it(left.site)
    assert (left.site.content(), left.site.journal) == (left.before, None)


@pytest.mark.parametrize("is_there", [True, False], ids=["live", "damaged"])
def test_nothing_is_dropped_as_long_as_its_manifest_cannot_be_read(is_there: bool, left: Left) -> None:
    manifest = Path(str(left.plan.manifest))
    if is_there:
        with left.site.operation("restore") as operation, pytest.raises(OpsError, match=manifest.name) as failed:
            restore(operation, "latest", left.site.folder, lambda _: manifest.unlink())
        assert "is as it was" in failed.value.state
        assert left.site.journal is None
        assert left.site.content() == left.before
        return
    left.record(replace(left.plan, damaged=True))
    left.site.rows(HALF)
    damaged = left.site.content()
    manifest.unlink()
    with pytest.raises(OpsError, match=manifest.name) as failed:
        heal_it(left.site)
    assert "is not whole" in failed.value.state
    assert "inv restore --dump" in failed.value.hint
    assert left.site.content() == damaged
    assert beside_it(left.site, Beside.INCOMING) == ()


@pytest.mark.parametrize("live", ["gone", "empty", "half dropped"])
def test_what_a_restore_beside_has_brought_is_kept_where_nothing_else_is(
    live: str, left: Left, server: EmbeddedStack
) -> None:
    """A first restore on a new server, killed once all was loaded; its dump is not there any more."""
    left.site.change({"restore": {"strategy": "beside"}})
    execute(server, "DROP DATABASE {} WITH (FORCE)", left.site.database)
    if live != "gone":
        execute(server, "CREATE DATABASE {}", left.site.database)
    execute(server, "CREATE DATABASE {}", left.plan.incoming)
    left.site.rows(PRECIOUS, left.plan.incoming)
    plan = replace(left.plan, drop_first=False, new_oid=left.oid(left.plan.incoming))
    left.record(replace(plan, old_oid=None if live == "gone" else left.oid()))
    if live == "half dropped":
        execute(server, f"UPDATE pg_database SET datconnlimit = -2 WHERE datname = '{left.site.database}'")
    Path(left.plan.dump).unlink()
    said = left.site.ok("heal")
    assert f"what came back is kept as {left.plan.incoming!r}" in said
    assert is_precious(left.site, left.plan.incoming)


def test_what_healing_has_kept_is_not_dropped_by_the_command_that_healed(left: Left, server: EmbeddedStack) -> None:
    incoming = left.dropped()
    left.site.rows(PRECIOUS, incoming)
    execute(server, "CREATE DATABASE {}", left.site.database)
    left.site.rows("CREATE TABLE public.migrated (n int)")
    Path(left.plan.dump).unlink()
    done = left.site.run("restore", "--finish", "--yes")
    assert f"{incoming!r} is kept this time" in done.stderr
    assert is_precious(left.site, incoming)
    left.site.ok("restore", "--finish", "--yes")
    assert beside_it(left.site, Beside.INCOMING) == ()


def test_closing_that_waits_when_its_command_is_killed_is_not_done_later(left: Left, server: EmbeddedStack) -> None:
    left.site.change({"restore": {"strategy": "beside"}})
    bring_back(left.site)
    blocking = f"ALTER DATABASE {left.site.database} CONNECTION LIMIT 50"
    with killed_while_it_waits(left, server, blocking, "%ALLOW_CONNECTIONS false", "restore", "--undo", "--yes"):
        assert "opened" in left.site.ok("heal")
    time.sleep(0.5)
    assert left.site.content() == left.before


def test_space_that_is_not_freed_is_not_counted(left: Left, kept: str, server: EmbeddedStack) -> None:
    execute(server, "CREATE DATABASE {}", left.site.database)
    other = left.site.folder / "other.dump"
    Path(left.plan.dump).rename(other)
    with left.site.operation("restore") as operation:
        assert plan_restore(operation, str(other), left.site.folder).freed_bytes == 0
    other.rename(left.plan.dump)
    with left.site.operation("restore") as operation:
        assert plan_restore(operation, "latest", left.site.folder).freed_bytes > 5_000_000
    assert is_precious(left.site, kept)


def test_dump_that_goes_while_healing_proves_it_leaves_what_came_back(
    left: Left, monkeypatch: pytest.MonkeyPatch
) -> None:
    left.dropped()
    real = cn_ops.proof.prove

    def gone(*arguments: Any) -> Any:
        Path(left.plan.dump).unlink()
        left.site.rows("CREATE TABLE public.stranger (n int)", arguments[0].database)
        return real(*arguments)

    monkeypatch.setattr("cn_ops.replacement.prove", gone)
    with pytest.raises(OpsError) as failed:
        heal_it(left.site)
    assert tells_everything(failed.value)
    assert len(beside_it(left.site, Beside.INCOMING)) == 1


def test_database_that_cannot_be_looked_into_is_somebody_s(left: Left, server: EmbeddedStack) -> None:
    left.dropped()
    execute(server, "CREATE DATABASE {} ALLOW_CONNECTIONS false", left.site.database)
    left.site.ok("heal")
    assert left.site.journal is None
    left.site.ok("restore", "--dump=latest", "--strategy=beside", "--yes")
    assert left.site.content() == left.before
