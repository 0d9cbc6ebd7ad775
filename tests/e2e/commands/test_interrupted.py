"""Ctrl-C in the phases that take long."""

from __future__ import annotations

import signal

from tests.e2e.commands.node import Done, Node, Running, docker, wait_for

EVERYTHING = {"db", "web", "worker"}


def interrupt(node: Node, running: Running) -> Done:
    """Interrupt a command; nothing of it may be left on this machine or in the server's container."""
    running.process.send_signal(signal.SIGINT)
    done = running.done(60)
    assert done.code == 130, done.text
    assert node.clients() == []
    assert node.tools() == []
    return done


def test_interrupted_backup_leaves_nothing(other_node: Node) -> None:
    before = other_node.backups()
    with other_node.gate_shut():
        running = other_node.start("backup")
        wait_for(other_node.tools, running)
        interrupt(other_node, running)
    assert other_node.backups() == before
    assert other_node.running() == EVERYTHING
    assert other_node.journal() == ""


def test_interrupted_restore_beside_leaves_the_live_database_alone(other_node: Node) -> None:
    other_node.sql("insert into naps values (4)")
    other_node.inv("backup").ok()
    running = other_node.start("restore", "--dump=latest")
    wait_for(other_node.loading, running)
    assert "the database 'notes' is as it was" in interrupt(other_node, running).err
    assert other_node.running() == EVERYTHING
    assert other_node.journal() == ""
    assert other_node.sql("select count(*) from notes") == "20"
    assert other_node.sql("select count(*) from pg_database where datname like 'notes\\_\\_incoming%'") == "0"


def test_interrupted_restore_says_what_is_left_and_the_next_command_finishes_it(other_node: Node) -> None:
    other_node.sql("insert into naps values (4)")
    other_node.inv("backup").ok()
    running = other_node.start("restore", "--dump=latest", "--strategy=recreate")
    wait_for(other_node.loading, running)
    done = interrupt(other_node, running)
    assert "is not there, and its writers are stopped; `inv heal` restores it" in done.err
    assert other_node.running() == {"db"}
    other_node.inv("heal").ok()
    assert other_node.sql("select count(*) from notes") == "20"
    assert other_node.running() == EVERYTHING


def test_interrupted_drill_writes_its_summary_and_the_next_one_passes(other_node: Node) -> None:
    other_node.sql("insert into naps values (4)")
    running = other_node.start("drill", "--no-build")
    wait_for(other_node.loading, running)
    interrupt(other_node, running)
    summary = other_node.summary()
    assert (summary["status"], summary["error"]["phase"]) == ("failed", "restore")
    assert summary["after_restore_event_count"] is None
    assert "the next command restores it" in summary["error"]["database_state"]
    other_node.inv("drill", "--no-build").ok()
    assert other_node.sql("select count(*) from notes") == "20"
    assert other_node.running() == EVERYTHING


def test_interrupted_seed_leaves_no_container(other_node: Node) -> None:
    other_node.settings["drill"]["seed"] = ["sleep", "600"]
    other_node.configure()
    try:
        running = other_node.start("drill", "--no-build")
        once = ("ps", "--all", "--quiet", "--filter", f"name={other_node.project}-once-")
        wait_for(lambda: docker(*once), running)
        interrupt(other_node, running)
        assert docker(*once) == ""
    finally:
        other_node.settings["drill"]["seed"] = None
        other_node.configure()
    assert other_node.running() == EVERYTHING
