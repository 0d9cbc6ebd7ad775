"""Commands that are killed with SIGKILL, and the next ones, which heal."""

from __future__ import annotations

import pytest

from tests.e2e.commands.conftest import Make
from tests.e2e.commands.node import Node, Running, docker, wait_for
from tests.support.processes import wait_until

EVERYTHING = {"db", "web", "worker"}
# In each of them the drill is killed, and the next one has to heal what that left.
KILLED_IN = ("up", "backup", "stop writers", "fault", "restore", "restart")


def kill(running: Running) -> None:
    running.process.kill()
    running.process.wait()


def test_killed_backup_leaves_no_generation_and_no_dump_that_goes_on(other_node: Node) -> None:
    before = other_node.backups()
    with other_node.gate_shut():
        killed = other_node.start("backup")
        wait_for(other_node.tools, killed)
        kill(killed)
        wait_until(lambda: not other_node.clients() and not other_node.tools(), 20)
        partial = sorted(set(other_node.backups()) - set(before))
        assert partial
        assert all(name.endswith(".partial") for name in partial)
    other_node.inv("backup").ok()
    assert not set(partial) & set(other_node.backups())
    assert other_node.running() == EVERYTHING


@pytest.mark.parametrize(
    ("strategy", "following"),
    [
        ("recreate", ("heal",)),
        ("recreate", ("backup",)),
        ("beside", ("heal",)),
        ("beside", ("restore", "--dump=latest")),
    ],
)
def test_killed_restore_is_finished_or_undone_by_the_next_command(
    other_node: Node, strategy: str, following: tuple[str, ...]
) -> None:
    other_node.sql("insert into naps values (4)")
    other_node.inv("backup").ok()
    killed = other_node.start("restore", "--dump=latest", f"--strategy={strategy}")
    wait_for(other_node.loading, killed)
    kill(killed)
    wait_until(lambda: not other_node.clients(), 15)
    assert other_node.running() == ({"db"} if strategy == "recreate" else EVERYTHING)
    assert "unfinished: restore" in other_node.inv("stack.status").ok().out
    other_node.inv(*following).ok()
    assert other_node.journal() == ""
    assert other_node.tools() == []
    assert other_node.running() == EVERYTHING
    assert other_node.sql("select count(*) from notes") == "20"


def test_drill_that_is_killed_in_one_phase_after_the_other_needs_no_help(make_other: Make) -> None:
    node = make_other()
    for phase in KILLED_IN:
        kill_drill_in(node, f"phase {phase}: begins")
    assert node.journal() != ""
    drilled = node.inv("drill", "--no-build", "--json").ok().document
    assert drilled["status"] == "passed"
    assert drilled["baseline_event_count"] == drilled["after_restore_event_count"] == 20
    assert node.journal() == ""
    assert node.containers() == {}, "nothing ran before the first drill"
    assert node.volumes() != []
    assert not [name for name in node.backups() if name.endswith(".partial")]


def test_seed_of_a_killed_drill_does_not_write_on(other_node: Node) -> None:
    other_node.settings["drill"]["seed"] = ["sleep", "600"]
    other_node.configure()
    killed = other_node.start("drill", "--no-build")
    wait_for(lambda: commands_that_run_once(other_node), killed)
    kill(killed)
    assert commands_that_run_once(other_node), "the engine ended it by itself: this proves nothing"
    other_node.settings["drill"]["seed"] = None
    other_node.configure()
    other_node.inv("drill", "--no-build").ok()
    assert commands_that_run_once(other_node) == []


def test_stack_goes_down_although_the_seed_of_a_killed_drill_runs(make_other: Make) -> None:
    node = make_other()
    node.settings["drill"]["seed"] = ["sleep", "600"]
    node.configure()
    killed = node.start("drill", "--no-build")
    wait_for(lambda: commands_that_run_once(node), killed)
    kill(killed)
    node.inv("stack.down", "--volumes").ok()
    assert commands_that_run_once(node) == []
    assert node.containers() == {}
    assert node.volumes() == []
    assert node.journal() == ""


def kill_drill_in(node: Node, begins: str) -> None:
    seen = node.log().count(begins)
    killed = node.start("drill", "--no-build")
    wait_for(lambda: node.log().count(begins) > seen, killed)
    kill(killed)


def commands_that_run_once(node: Node) -> list[str]:
    mine = ("--filter", f"label=com.docker.compose.project={node.project}")
    return docker("ps", "--quiet", *mine, "--filter", "label=com.docker.compose.oneoff=True").split()
