"""The drill on the demo node, as a person and as CI run it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from cn_ops.report import summary_check
from tests.e2e.commands.conftest import Make
from tests.e2e.commands.node import PASSWORD, Node
from tests.support.stacks import EVERYTHING

RESULTS = Path("test-results", "community-node-recovery")


def check_summary(node: Node) -> None:
    """Hold the newest summary to what a CI job asserts."""
    assert summary_check.main([str(node.folder / RESULTS / "latest-summary.json"), "--stack=compose"]) == 0


def assert_no_secret(node: Node) -> None:
    """Look for the password in every file that the commands wrote."""
    looked_at = 0
    for path in node.folder.rglob("*"):
        if path.is_file() and path.name not in ("cn_ops.yaml", "tasks.py"):
            assert PASSWORD.encode() not in path.read_bytes(), path
            looked_at += 1
    assert looked_at > 5


@contextmanager
def command_lines() -> Iterator[set[str]]:
    """Gather the command lines of the processes that run while the block does."""
    seen: set[str] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.05):
            for process in psutil.process_iter():
                with suppress(psutil.Error):
                    seen.add(" ".join(process.cmdline()))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        ended.set()
        looking.join()


def test_drill_passes_twice_in_a_row_beside_another_project(make_demo: Make, make_other: Make) -> None:
    node, neighbour = make_demo(), make_other()
    beside = neighbour.start("drill", "--no-build", "--json")
    first = node.inv("drill", "--no-build").ok()
    assert "passed: the data is back and the application serves it (compose)" in first.out
    check_summary(node)
    assert node.containers() == {}, "nothing ran before"
    assert len(node.volumes()) == 1, "the volumes stay"

    node.inv("recovery-drill", "--no-build", "--keep").ok()
    check_summary(node)
    assert node.running() == set(EVERYTHING)
    assert node.sql("select count(*) from cn_relay.events") == "9"
    assert beside.done().ok().document["after_restore_event_count"] == 20
    assert_no_secret(node)
    assert_no_secret(neighbour)


def test_drill_leaves_a_running_stack_running_and_is_not_disturbed_by_what_it_rewrites(make_demo: Make) -> None:
    node = make_demo(BOOTSTRAP_REFRESH_SECONDS="1")
    node.inv("stack.up", "--no-build").ok()
    node.inv("stack.seed").ok()
    server = node.container(node.server)
    began = "select pg_postmaster_start_time()"
    before = node.sql(began)
    with command_lines() as seen:
        drilled = node.inv("drill", "--no-build", "--events=200", "--json").ok()
    check_summary(node)
    assert drilled.document["baseline_event_count"] == 200
    assert drilled.document["application_entries_after"] == 200
    assert node.running() == set(EVERYTHING)
    assert (node.container(node.server), node.sql(began)) == (server, before)
    assert node.journal() == ""
    assert any("pg_dump" in line for line in seen), "nobody looked: this proves nothing"
    assert not [line for line in seen if PASSWORD in line]
    assert PASSWORD not in drilled.text
    assert_no_secret(node)
