"""A restore beside the live database: proven before it is swapped in, undone, finished, and never half seen."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cn_ops.errors import ExitCode, OperationFailed, OpsError, UsageError, VerificationFailed
from cn_ops.generations import read_catalogue
from cn_ops.names import Beside
from cn_ops.postgres.scratch import scratch_database
from cn_ops.restore import undo_restore
from cn_ops.stack.embedded import EmbeddedStack
from tests.support.nodes import Node, connected
from tests.support.operations import back_up, beside_it, bring_back, execute, heal_it, tells_everything

NewSite = Any
CHANGE = "UPDATE cn_relay.events SET kind = kind + 1"


def after(site: Node, statement: str) -> None:
    """Let restores run a statement in what they restored."""
    script = site.folder / "after the restore.sql"
    script.write_text(statement)
    site.change({"restore": {"after": [str(script)]}})


def databases(site: Node) -> set[str]:
    return {name for (name,) in site.rows("SELECT datname::text FROM pg_database", "postgres")}


@pytest.mark.parametrize("statement", ["SELECT 1/0", "CREATE TABLE public.left (); COMMIT; SELECT 1/0"])
def test_file_that_fails_after_the_load_is_named_and_nothing_is_swapped_in(statement: str, site: Node) -> None:
    back_up(site)
    site.rows(CHANGE)
    before = site.content()
    after(site, statement)
    with pytest.raises(OperationFailed, match=r"after the restore\.sql fails") as failed:
        bring_back(site)
    assert "division by zero" in failed.value.evidence
    assert "restore.after" in failed.value.hint
    assert tells_everything(failed.value)
    assert site.content() == before
    assert beside_it(site, Beside.INCOMING) == ()


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("UPDATE cn_relay.events SET content = content || ' ' WHERE ctid = '(0,1)'", "table cn_relay.events"),
        ("ALTER TABLE cn_relay.events ALTER content SET STATISTICS 7", "TABLE cn_relay.events"),
        ("SELECT setval('cn_relay.events_outbox_seq_seq', 1)", "sequence cn_relay.events_outbox_seq_seq"),
        ("CREATE TABLE public.stranger ()", "TABLE public.stranger"),
    ],
)  # fmt: skip
def test_what_is_not_equal_is_not_swapped_in(damage: str, named: str, site: Node) -> None:
    back_up(site)
    site.rows(CHANGE)
    before, writer = site.content(), site.stack.writers[0]
    site.stack.start([writer])
    after(site, damage)
    with pytest.raises(VerificationFailed) as failed:
        bring_back(site)
    assert failed.value.exit_code is ExitCode.NOT_EQUAL
    assert named in failed.value.evidence
    assert tells_everything(failed.value)
    assert site.content() == before
    (kept,) = beside_it(site, Beside.INCOMING)
    assert kept in failed.value.state
    assert beside_it(site, Beside.PREVIOUS) == beside_it(site, Beside.SCRATCH) == ()
    assert site.journal is None
    assert writer in site.stack.running()


def test_what_a_restore_adds_on_purpose_may_be_nothing(site: Node) -> None:
    back_up(site)
    after(site, "SELECT 1")
    assert bring_back(site).rows


def test_script_that_fails_leaves_the_live_database_and_nothing_else(site: Node) -> None:
    back_up(site)
    site.rows(CHANGE)
    before, names = site.content(), databases(site)
    after(site, "SELECT no_such_function()")
    with pytest.raises(OpsError) as failed:
        bring_back(site)
    assert "no_such_function" in failed.value.evidence
    assert tells_everything(failed.value)
    assert (site.content(), databases(site), site.journal) == (before, names, None)


def test_undo_swaps_the_old_database_back_in_and_forth_again(site: Node) -> None:
    new = site.content()
    back_up(site)
    site.rows(CHANGE)
    old = site.content()
    bring_back(site)
    assert site.content() == new
    with site.operation("restore --undo") as operation:
        was, undone = undo_restore(operation)
    assert site.content() == old
    assert was not in databases(site)
    assert beside_it(site, Beside.INCOMING) == (undone,)
    assert site.journal is None
    with (
        site.operation("restore --undo") as operation,
        pytest.raises(UsageError, match="no earlier restore") as failed,
    ):
        undo_restore(operation)
    assert tells_everything(failed.value)
    assert site.content() == old


def test_undo_takes_the_last_restore_and_finish_drops_what_all_of_them_left(site: Node) -> None:
    back_up(site)
    contents = []
    for _ in range(2):
        site.rows(CHANGE)
        contents.append(site.content())
        bring_back(site)
    assert len(beside_it(site, Beside.PREVIOUS)) == 2
    site.ok("restore", "--undo", "--yes")
    assert site.content() == contents[1]
    site.rows(f'CREATE DATABASE "{site.database}__previous_notes"', "postgres")
    try:
        assert "would be dropped" in site.ok("restore", "--finish", "--dry-run")
        assert len(databases(site) & {*beside_it(site, Beside.PREVIOUS), *beside_it(site, Beside.INCOMING)}) == 2
        site.ok("restore", "--finish", "--yes")
        assert [beside_it(site, kind) for kind in Beside] == [(), (), ()]
        assert f"{site.database}__previous_notes" in databases(site)
        assert site.content() == contents[1]
        assert "no earlier restore" in site.ok("restore", "--finish", "--yes")
    finally:
        site.rows(f'DROP DATABASE "{site.database}__previous_notes"', "postgres")


@pytest.mark.parametrize("lost", ["dropped", "its drop interrupted"])
def test_nothing_is_dropped_while_there_is_no_live_database(lost: str, site: Node, server: EmbeddedStack) -> None:
    """What an earlier restore has replaced may be the only copy then."""
    back_up(site)
    bring_back(site)
    (previous,) = beside_it(site, Beside.PREVIOUS)
    if lost == "dropped":
        execute(server, "DROP DATABASE {}", site.database)
    else:
        site.rows(f"UPDATE pg_database SET datconnlimit = -2 WHERE datname = '{site.database}'", "postgres")
    for option in ("--dry-run", "--yes"):
        refused = site.run("restore", "--finish", option)
        assert refused.returncode == ExitCode.MISSING
        assert "may be the only copy" in refused.stderr
        assert "nothing was dropped" in refused.stderr
    assert beside_it(site, Beside.PREVIOUS) == (previous,)


def test_template_is_restored_and_what_it_was_before_is_dropped(site: Node, server: EmbeddedStack) -> None:
    back_up(site)
    execute(server, "ALTER DATABASE {} IS_TEMPLATE true", site.database)
    bring_back(site)
    site.ok("restore", "--finish", "--yes")
    assert beside_it(site, Beside.PREVIOUS) == ()


def test_newest_generation_is_not_restored_when_it_is_of_another_database(new_site: NewSite) -> None:
    """A folder may be shared by several nodes; whoever means another's generation names it."""
    other, site = new_site(), new_site()
    before = site.content()
    site.change({"backup": {"directory": str(other.backups)}})
    made = back_up(other)
    with pytest.raises(UsageError, match=f"of the database '{site.database}'") as refused:
        bring_back(site)
    assert tells_everything(refused.value)
    assert (site.content(), beside_it(site, Beside.PREVIOUS)) == (before, ())
    assert any(other.database in one for one in bring_back(site, made.generation.id).warnings)


def test_live_database_that_is_only_an_empty_stand_in_lets_nothing_be_dropped(
    site: Node, server: EmbeddedStack
) -> None:
    """What stands beside it may be all that is left."""
    back_up(site)
    previous = bring_back(site).previous
    execute(server, "DROP DATABASE {} WITH (FORCE)", site.database)
    execute(server, "CREATE DATABASE {}", site.database)
    refused = site.run("restore", "--finish", "--yes")
    assert refused.returncode == ExitCode.MISSING
    assert "is empty" in refused.stderr
    assert beside_it(site, Beside.PREVIOUS) == (previous,)
    site.ok("restore", "--undo", "--yes")
    assert site.content()


@pytest.mark.parametrize(
    "name", ["n" * 63, "帳" * 20 + "abc", "x" + "🌸" * 15], ids=["ascii", "three bytes", "four bytes"]
)
def test_database_with_the_longest_name_is_restored_and_undone(name: str, new_site: NewSite) -> None:
    site: Node = new_site(name)
    new = site.content()
    back_up(site)
    site.rows(CHANGE)
    old = site.content()
    assert bring_back(site).previous in databases(site)
    assert site.content() == new
    with site.operation() as operation:
        undo_restore(operation)
    assert site.content() == old


def test_databases_whose_long_names_begin_alike_do_not_touch_each_other(new_site: NewSite) -> None:
    one, other = (new_site("n" * 62 + end) for end in "ab")
    for site in (one, other):
        back_up(site)
        bring_back(site)
    one.ok("restore", "--finish", "--yes")
    assert beside_it(one, Beside.PREVIOUS) == ()
    assert len(beside_it(other, Beside.PREVIOUS)) == 1


@contextmanager
def visitors(site: Node, count: int) -> Iterator[list[str]]:
    """Sessions that come back in a loop, as those of a pool do; gives what each found."""
    found: list[str] = []
    stop = threading.Event()

    def visit() -> None:
        while not stop.is_set():
            try:
                with connected(site.stack, site.database) as connection:
                    while not stop.is_set():
                        row = connection.execute("SELECT count(*), min(kind) FROM cn_relay.events").fetchone()
                        found.append(str(row))
                        time.sleep(0.005)
            except psycopg.Error as error:
                found.append(type(error).__name__)

    threads = [threading.Thread(target=visit) for _ in range(count)]
    for one in threads:
        one.start()
    try:
        yield found
    finally:
        stop.set()
        for one in threads:
            one.join(20)


def test_sessions_that_come_back_in_a_loop_find_the_old_database_or_the_new_one(site: Node) -> None:
    ((new,),) = site.rows("SELECT (count(*), min(kind))::text FROM cn_relay.events")
    back_up(site)
    site.rows(CHANGE)
    ((old,),) = site.rows("SELECT (count(*), min(kind))::text FROM cn_relay.events")
    with visitors(site, 4) as found:
        bring_back(site)
        end = time.monotonic() + 10
        while time.monotonic() < end and found[-1:] != [str(tuple(map(int, new.strip("()").split(","))))]:
            time.sleep(0.02)
    answers = [one.replace(" ", "") for one in found if one.startswith("(")]
    assert set(answers) == {old, new}
    assert answers.index(new) > len(answers) - 1 - answers[::-1].index(old) - 8  # others' answers overtake each other
    assert {one for one in found if not one.startswith("(")} <= {"OperationalError", "AdminShutdown"}


@pytest.mark.parametrize("strategy", ["beside", "recreate"])
def test_database_that_is_read_only_by_default_is_backed_up_and_restored(
    strategy: str, new_site: NewSite, server: EmbeddedStack
) -> None:
    site: Node = new_site(restore={"strategy": strategy})
    before = site.content()
    execute(server, "ALTER DATABASE {} SET default_transaction_read_only = on", site.database)
    back_up(site)
    bring_back(site)
    assert site.content() == before
    assert site.rows("SHOW default_transaction_read_only") == [("on",)]


def test_what_settings_leave_out_is_told_and_the_rest_is_proven(new_site: NewSite, server: EmbeddedStack) -> None:
    site: Node = new_site(restore={"owners": False, "privileges": False})
    role = f"{site.database}_owner"
    execute(server, "CREATE ROLE {}", role)
    try:
        site.rows(f'ALTER TABLE cn_relay.events OWNER TO "{role}"; GRANT SELECT ON cn_relay.event_topics TO "{role}"')
        site.rows("CREATE TABLE public.words (w varchar CHECK (w IN ('a', 'b')))")  # reads otherwise afterwards
        back_up(site)
        site.rows(
            f'ALTER TABLE cn_relay.events OWNER TO CURRENT_USER; REVOKE ALL ON cn_relay.event_topics FROM "{role}"'
        )
        execute(server, "DROP ROLE {}", role)
        result = bring_back(site)
    finally:
        execute(server, "DROP ROLE IF EXISTS {}", role)
    privileges, owners = result.stripped
    assert privileges == "privileges of 1 objects"
    assert owners.startswith("owners of ")


def test_role_that_is_gone_keeps_the_live_database_as_it_was(site: Node, server: EmbeddedStack) -> None:
    role = f"{site.database}_owner"
    execute(server, "CREATE ROLE {}", role)
    site.rows(f'ALTER TABLE cn_relay.events OWNER TO "{role}"')
    back_up(site)
    site.rows("ALTER TABLE cn_relay.events OWNER TO CURRENT_USER; " + CHANGE)
    execute(server, "DROP ROLE {}", role)
    before, names = site.content(), databases(site)
    with pytest.raises(OpsError, match=role) as failed:
        bring_back(site)
    assert tells_everything(failed.value)
    assert (site.content(), databases(site), site.journal) == (before, names, None)


@pytest.mark.parametrize("with_manifest", [True, False])
def test_what_an_interrupted_drop_has_left_is_no_old_database_to_keep(
    with_manifest: bool, site: Node, server: EmbeddedStack
) -> None:
    before = site.content()
    dump: str | Path = back_up(site).dump
    if not with_manifest:
        dump = site.folder / "by hand.dump"
        dump.write_bytes(read_catalogue(site.backups, "node").generations[0].dump.read_bytes())
    execute(server, f"UPDATE pg_database SET datconnlimit = -2 WHERE datname = '{site.database}'")
    result = bring_back(site, dump)
    assert site.content() == before
    assert result.previous is None
    assert beside_it(site, Beside.PREVIOUS) == beside_it(site, Beside.INCOMING) == ()
    assert site.journal is None


def test_undo_replaces_what_an_interrupted_drop_has_left(site: Node, server: EmbeddedStack) -> None:
    back_up(site)
    site.rows(CHANGE)
    old = site.content()
    bring_back(site)
    execute(server, f"UPDATE pg_database SET datconnlimit = -2 WHERE datname = '{site.database}'")
    with site.operation("restore --undo") as operation:
        assert undo_restore(operation)[1] is None
    assert site.content() == old
    assert beside_it(site, Beside.PREVIOUS) == beside_it(site, Beside.INCOMING) == ()


@pytest.mark.parametrize("whole", [1, 0])
def test_undo_passes_over_what_an_interrupted_finish_has_left(whole: int, site: Node, server: EmbeddedStack) -> None:
    """It keeps its name, and can only be dropped."""
    back_up(site)
    old = site.content()
    site.rows(CHANGE)
    for _ in range(whole):
        bring_back(site)
    changed = beside_it(site, Beside.PREVIOUS)
    site.rows("TRUNCATE cn_relay.events CASCADE")
    bring_back(site)
    (newest,) = set(beside_it(site, Beside.PREVIOUS)) - set(changed)
    execute(server, f"UPDATE pg_database SET datconnlimit = -2 WHERE datname = '{newest}'")
    if whole:
        with site.operation("restore --undo") as operation:
            assert undo_restore(operation)[0] == changed[0]
        assert site.content() != old
    else:
        with site.operation("restore --undo") as operation, pytest.raises(UsageError, match="can be undone"):
            undo_restore(operation)
        assert site.content() == old
    assert site.journal is None


def test_swap_that_was_killed_is_opened_beside_what_an_interrupted_drop_has_left(
    site: Node, server: EmbeddedStack
) -> None:
    back_up(site)
    bring_back(site)
    (previous,) = beside_it(site, Beside.PREVIOUS)
    execute(server, f"UPDATE pg_database SET datconnlimit = -2 WHERE datname = '{previous}'")
    with site.operation("restore") as operation:
        operation.intend(closed=(previous, site.database))
    execute(server, "ALTER DATABASE {} ALLOW_CONNECTIONS false", site.database)
    assert heal_it(site)
    assert site.content()
    assert site.journal is None


def test_role_that_has_changed_since_keeps_no_restore_from_its_swap_and_is_told(
    site: Node, server: EmbeddedStack
) -> None:
    """Roles belong to the server: no restore changes them, and a comparison on demand names them."""
    role, group = (f"{site.database}_{name}" for name in ("owner", "group"))
    execute(server, "CREATE ROLE {}", role)
    execute(server, "CREATE ROLE {}", group)
    try:
        site.rows(f'ALTER TABLE cn_relay.events OWNER TO "{role}"')
        back_up(site)
        execute(server, "GRANT {} TO {}", group, role)
        assert site.run("compare").returncode == ExitCode.NOT_EQUAL
        (told,) = bring_back(site).stripped
        assert told.startswith(f"the server's role {role}, which was")
        assert group in told
    finally:
        for (name,) in site.rows("SELECT datname FROM pg_database WHERE datallowconn", "postgres"):
            if name.startswith(site.database):
                site.rows(f'REASSIGN OWNED BY "{role}" TO CURRENT_USER; DROP OWNED BY "{role}"', name)
        execute(server, "DROP ROLE {}, {}", role, group)


def test_scratch_of_a_command_that_is_gone_is_dropped_and_that_of_another_is_not(site: Node) -> None:
    wanted = back_up(site).manifest.properties
    left = f"{site.database}__scratch_20200101-000000"
    site.rows(f'CREATE DATABASE "{left}"', "postgres")
    with scratch_database(site.stack, site.database, wanted) as mine:
        assert left not in databases(site)
        with scratch_database(site.stack, site.database, wanted) as another:
            assert {mine, another} <= databases(site)
            assert mine != another
        back_up(site)  # it drops what killed commands left
        assert mine in databases(site)
    assert beside_it(site, Beside.SCRATCH) == ()
