"""A restore killed anywhere leaves the live database untouched or fully swapped; the next command heals the rest."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from cn_ops.names import Beside
from cn_ops.replacement import plan_recreation
from cn_ops.source import find_source
from tests.support import kill_at
from tests.support.nodes import Node
from tests.support.operations import back_up, beside_it, bring_back, heal_it

STEPS = {
    "make the incoming database": ("cn_ops.postgres.alter:create", 1),
    "put its number on record": ("cn_ops.journal:Journal.write", 2),
    "load": ("cn_ops.replacement:load", 1),
    "analyze": ("cn_ops.replacement:analyzing", 1),
    "prove": ("cn_ops.replacement:prove", 1),
    "stop the writers": ("cn_ops.restore:stop_writers", 1),
    "put the closing on record": ("cn_ops.beside:exchange", 1),
    "close": ("cn_ops.postgres.alter:allow_connections", 1),
    "end sessions": ("cn_ops.postgres.alter:end_sessions", 1),
    "rename": ("cn_ops.postgres.alter:rename", 1),
    "open the old one": ("cn_ops.postgres.alter:allow_connections", 2),
    "take it off the record": ("cn_ops.restore:finished", 1),
    "start the writers": ("cn_ops.restore:start_writers", 1),
}
DROP_FIRST_STEPS = {
    **{
        name: STEPS[name]
        for name in ("make the incoming database", "load", "prove", "rename", "take it off the record")
    },
    "put its number on record": ("cn_ops.journal:Journal.write", 3),
    "drop the old one": ("cn_ops.postgres.alter:drop", 1),
}
# After a step is before the next, but for the first and for what comes between those that are named.
BEFORE = ("make the incoming database", "drop the old one", "stop the writers", "rename", "start the writers")
# From then on there is no old one.
DROPPED = ("load", "prove", "rename", "take it off the record")
OPEN = "SELECT datname::text FROM pg_database WHERE NOT datallowconn AND datname <> 'template0'"


RESTORE = ("restore", "--dump=latest", "--yes")
HEALING = {
    "drop": ("cn_ops.postgres.alter:drop", 1),
    "create": ("cn_ops.postgres.alter:create", 1),
    "load": ("cn_ops.replacement:load", 1),
}


def moments(steps: Iterable[str]) -> list[tuple[str, str]]:
    return [(step, moment) for step in steps for moment in ("before", "after") if moment == "after" or step in BEFORE]


def killed(site: Node, target: str, number: int, moment: str, *command: str) -> None:
    script = str(Path(kill_at.__file__))
    argv = [sys.executable, script, target, str(number), moment, *command]
    done = subprocess.run(argv, cwd=site.folder, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == -9, done.stderr


def backed_up_and_changed(site: Node) -> tuple[dict[str, tuple[int, str]], dict[str, tuple[int, str]], str]:
    """Let a site drift from its backup; return what is in that, what is there, and a writer that runs."""
    new = site.content()
    back_up(site)
    site.rows("DELETE FROM cn_relay.event_topics WHERE topic_id <> ''; UPDATE cn_relay.events SET kind = kind + 1")
    old = site.content()
    writer = site.stack.writers[0]
    site.stack.start([writer])
    return new, old, writer


@pytest.mark.parametrize(("step", "moment"), moments(STEPS))
def test_killed_restore_leaves_the_old_or_the_new_database_and_healing_the_rest(
    step: str, moment: str, site: Node
) -> None:
    new, old, writer = backed_up_and_changed(site)
    killed(site, *STEPS[step], moment, *RESTORE)
    names = {name for (name,) in site.rows("SELECT datname::text FROM pg_database", "postgres")}
    assert site.database in names

    heal_it(site)
    assert site.content() in (old, new)
    assert site.journal is None
    assert [beside_it(site, kind) for kind in (Beside.INCOMING, Beside.SCRATCH)] == [(), ()]
    assert site.rows(OPEN, "postgres") == []
    assert writer in site.stack.running()
    if site.content() == new:
        (previous,) = beside_it(site, Beside.PREVIOUS)
        assert site.rows("SELECT count(*) FROM cn_relay.event_topics", previous) == [(0,)]

    bring_back(site)
    assert site.content() == new


@pytest.mark.parametrize(("step", "moment"), moments(DROP_FIRST_STEPS))
def test_killed_restore_that_drops_first_leaves_no_half_restored_database_under_the_live_one_s_name(
    step: str, moment: str, site: Node
) -> None:
    site.change({"restore": {"strategy": "recreate"}})
    new, old, writer = backed_up_and_changed(site)
    killed(site, *DROP_FIRST_STEPS[step], moment, *RESTORE)
    is_dropped = step in DROPPED or (step, moment) == ("drop the old one", "after")
    names = {name for (name,) in site.rows("SELECT datname::text FROM pg_database", "postgres")}
    if site.database in names:
        assert site.content() == (new if is_dropped else old)
    else:
        assert is_dropped
        assert len(beside_it(site, Beside.INCOMING)) == 1
        assert writer not in site.stack.running()

    heal_it(site)
    assert site.content() == (new if is_dropped else old)
    assert site.journal is None
    assert [beside_it(site, kind) for kind in Beside] == [()] * 3
    assert site.rows(OPEN, "postgres") == []
    assert writer in site.stack.running()


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", HEALING)
def test_healing_that_is_killed_in_its_turn_is_healed(step: str, moment: str, either_way: Node) -> None:
    """The record is then about a database that an earlier try has made."""
    site = either_way
    whole = site.content()
    back_up(site)
    site.rows("TRUNCATE cn_relay.events CASCADE")
    if site.settings.restore.strategy == "beside":
        with site.operation("drill") as operation:
            source = find_source(site.settings.backup, "latest", site.folder)
            plan = plan_recreation(operation, source, str(source.manifest and source.manifest.sha256))
            operation.intend(recreating=replace(plan, damaged=True))
        killed(site, "cn_ops.replacement:load", 1, "before", "heal")
    else:
        killed(site, "cn_ops.replacement:load", 1, "before", *RESTORE)
    killed(site, *HEALING[step], moment, "heal")
    assert heal_it(site)
    assert site.content() == whole
    assert site.journal is None
    assert [beside_it(site, kind) for kind in (Beside.INCOMING, Beside.SCRATCH)] == [(), ()]
