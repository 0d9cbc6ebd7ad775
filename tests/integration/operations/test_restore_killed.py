"""A restore killed anywhere leaves the live database untouched or fully swapped; the next command heals the rest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cn_ops.names import Beside
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
    "open the new one": ("cn_ops.postgres.alter:allow_connections", 2),
    "open the old one": ("cn_ops.postgres.alter:allow_connections", 3),
    "take it off the record": ("cn_ops.restore:finished", 1),
    "start the writers": ("cn_ops.restore:start_writers", 1),
}
OPEN = "SELECT datname::text FROM pg_database WHERE NOT datallowconn AND datname <> 'template0'"


def killed_restore(site: Node, step: str, moment: str) -> None:
    target, number = STEPS[step]
    script = str(Path(kill_at.__file__))
    argv = [sys.executable, script, target, str(number), moment, "restore", "--dump=latest", "--yes"]
    done = subprocess.run(argv, cwd=site.folder, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == -9, done.stderr


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_killed_restore_leaves_the_old_or_the_new_database_and_healing_the_rest(
    step: str, moment: str, site: Node
) -> None:
    new = site.content()
    back_up(site)
    site.rows("DELETE FROM cn_relay.event_topics WHERE topic_id <> ''; UPDATE cn_relay.events SET kind = kind + 1")
    old = site.content()
    writer = site.stack.writers[0]
    site.stack.start([writer])
    killed_restore(site, step, moment)
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
