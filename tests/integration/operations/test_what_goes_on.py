"""What lives on around a database while it is replaced: login triggers, subscriptions, templates, other hands."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import closing

import pytest

from cn_ops.errors import ExitCode, LockHeld, UsageError
from cn_ops.names import Beside
from cn_ops.postgres.orphans import end_orphans
from cn_ops.postgres.server_lock import server_lock
from cn_ops.stack.base import session_name
from cn_ops.stack.embedded import EmbeddedStack
from tests.support.nodes import Node, connected
from tests.support.operations import back_up, beside_it, bring_back, execute, tells_everything
from tests.support.processes import wait_until

LOGIN_TRIGGER = """
CREATE TABLE public.logins (at timestamptz);
CREATE FUNCTION public.note_login() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT pg_catalog.current_setting('transaction_read_only')::boolean THEN
    INSERT INTO public.logins VALUES (pg_catalog.clock_timestamp());
  END IF;
END $$;
CREATE EVENT TRIGGER note_logins ON login EXECUTE FUNCTION public.note_login();
"""
SUBSCRIPTION = (
    "CREATE SUBSCRIPTION taking CONNECTION 'host=127.0.0.1 port=9 dbname=nowhere' PUBLICATION p"
    " WITH (connect = false, slot_name = 'taking')"
)


def test_login_trigger_that_writes_is_not_fired_by_a_restore(site: Node) -> None:
    site.rows(LOGIN_TRIGGER)
    site.rows("SELECT 1")
    script = site.folder / "after.sql"
    script.write_text("SELECT 1")
    site.change({"restore": {"after": [str(script)]}})
    back_up(site)
    assert bring_back(site).rows
    before = site.rows("SELECT count(*) FROM public.logins")
    assert site.rows("SELECT count(*) FROM public.logins") > before, "it fires for everybody else"


def test_subscription_of_the_old_database_takes_nothing_any_more(site: Node) -> None:
    try:
        site.rows(SUBSCRIPTION)
        site.rows("ALTER SUBSCRIPTION taking ENABLE")
        back_up(site)
        result = bring_back(site)
        (warning,) = [one for one in result.warnings if "subscription" in one]
        (previous,) = beside_it(site, Beside.PREVIOUS)
        assert "taking" in warning
        assert previous in warning
        assert site.rows("SELECT subname, subenabled FROM pg_subscription") == [("taking", False)] * 2
    finally:
        for name in (site.database, *beside_it(site, Beside.PREVIOUS)):
            for statement in ("DISABLE", "SET (slot_name = NONE)"):
                site.rows(f"ALTER SUBSCRIPTION taking {statement}", name)
            site.rows("DROP SUBSCRIPTION taking", name)


def test_owner_of_an_extension_that_a_dump_does_not_tell_is_told_as_left_out(
    site: Node, server: EmbeddedStack
) -> None:
    role = f"{site.database}_owner"
    execute(server, "CREATE ROLE {} SUPERUSER", role)
    try:
        site.rows(f'SET ROLE "{role}"; CREATE EXTENSION hstore')
        back_up(site)
        said = "\n".join(bring_back(site).stripped)
        assert "extension hstore as" in said
        assert role in said
    finally:
        for name in (site.database, *beside_it(site, Beside.PREVIOUS)):
            site.rows("DROP EXTENSION IF EXISTS hstore CASCADE", name)
        execute(server, "DROP ROLE {}", role)


def test_template_is_one_again(site: Node, server: EmbeddedStack) -> None:
    execute(server, "ALTER DATABASE {} IS_TEMPLATE true", site.database)
    try:
        back_up(site)
        bring_back(site)
        names = (site.database, *beside_it(site, Beside.PREVIOUS))
        wanted = f"SELECT datname FROM pg_database WHERE datistemplate AND datname = '{site.database}'"
        assert site.rows(wanted, "postgres") == [(site.database,)]
    finally:
        for name in (site.database, *beside_it(site, Beside.PREVIOUS)):
            execute(server, "ALTER DATABASE {} IS_TEMPLATE false", name)
    assert len(names) == 2


def test_prepared_transaction_refuses_a_restore_before_anything_is_loaded(site: Node) -> None:
    back_up(site)
    site.rows("BEGIN; CREATE TABLE public.later (); PREPARE TRANSACTION 'unfinished business'")
    try:
        with pytest.raises(UsageError, match="unfinished business") as failed:
            bring_back(site)
        assert tells_everything(failed.value)
        assert beside_it(site, Beside.INCOMING) == ()
    finally:
        site.rows("ROLLBACK PREPARED 'unfinished business'")


def test_restore_from_another_machine_is_refused_by_the_server_itself(site: Node) -> None:
    back_up(site)
    before = site.content()
    with server_lock(site.stack, site.database), pytest.raises(LockHeld) as failed:
        bring_back(site)
    assert tells_everything(failed.value)
    assert site.content() == before
    bring_back(site)


def test_what_another_machine_restores_is_not_dropped(site: Node) -> None:
    back_up(site)
    bring_back(site)
    with server_lock(site.stack, site.database):
        done = site.run("restore", "--finish", "--yes")
    assert done.returncode == ExitCode.LOCKED, done.stderr
    assert len(beside_it(site, Beside.PREVIOUS)) == 1
    assert site.run("restore", "--finish", "--yes").returncode == 0
    assert beside_it(site, Beside.PREVIOUS) == ()


def test_tool_of_another_machine_is_not_ended(site: Node) -> None:
    """Whether its maker lives, its process id does not tell here."""
    with closing(connected(site.stack, site.database)) as theirs, connected(site.stack, "postgres") as looking:
        theirs.execute("SET application_name = 'cn-ops-00000000-999999999-0123456789ab'")
        assert end_orphans(looking) == 0
        assert theirs.execute("SELECT 1").fetchone() == (1,)


def test_tool_of_a_command_that_lives_is_not_ended_and_that_of_a_dead_one_is(site: Node) -> None:
    """As of an `inv compare` on docker compose, whose tools bear a name, while a backup begins."""
    mine = session_name()
    with subprocess.Popen(["sleep", "60"]) as other:
        theirs = mine.replace(str(os.getpid()), str(other.pid))
        with (
            closing(connected(site.stack, site.database)) as living,
            closing(connected(site.stack, site.database)) as left,
        ):
            living.execute(f"SET application_name = '{mine}'".encode())
            left.execute(f"SET application_name = '{theirs}'".encode())
            with connected(site.stack, "postgres") as looking:
                assert end_orphans(looking) == 0
                other.send_signal(signal.SIGKILL)
                other.wait()
                assert end_orphans(looking) == 1
                gone = f"SELECT FROM pg_stat_activity WHERE application_name = '{theirs}'"
                wait_until(lambda: looking.execute(gone.encode()).rowcount == 0, 10)
            assert living.execute("SELECT 1").fetchone() == (1,)
