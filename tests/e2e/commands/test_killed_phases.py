"""Commands that are killed with SIGKILL before each of their phases, on compose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.e2e.commands.conftest import Make
from tests.e2e.commands.node import Node
from tests.support.faultline import KILLED_BEFORE
from tests.support.forker import Forker

EVERYTHING = {"db", "web", "worker"}
COMMANDS = (("backup",), ("restore", "--dump=latest"), ("restore", "--dump=latest", "--strategy=recreate"))


@pytest.fixture
def node(make_other: Make) -> Node:
    made = make_other()
    made.inv("stack.up").ok()
    made.inv("backup").ok()
    return made


def beside(node: Node) -> Iterator[str]:
    for name in node.sql("select datname from pg_database", "postgres").splitlines():
        if name not in ("postgres", "template0", "template1", node.database) and "__previous_" not in name:
            yield name


def partial_or_orphaned(node: Node) -> list[str]:
    names = node.backups()
    whole = {name.removesuffix(".manifest.json") for name in names if name.endswith(".manifest.json")}
    return [name for name in names if name.split(".")[0] not in whole]


@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
def test_kill_before_any_phase_loses_nothing_and_is_healed(argv: tuple[str, ...], node: Node) -> None:
    with closing(Forker(node.environment)) as forker:
        clean = forker.run(node.folder, argv)
        assert clean.code == 0, clean.text
        phases = [position for position in clean.positions if position.gateway == "phase"]
        assert len(phases) >= 4
        for position in phases:
            killed = forker.run(node.folder, argv, position.place, KILLED_BEFORE)
            assert (killed.code, killed.struck) == (-9, position.label), killed.text
            node.inv("heal").ok()
            assert node.journal() == "", position
            assert node.running() == EVERYTHING, position
            assert node.sql("select count(*) from notes") == "20", position
            assert list(beside(node)) == [], position
        node.inv(*argv).ok()
        assert partial_or_orphaned(node) == []
        assert node.sql("select count(*) from notes") == "20"


@pytest.mark.parametrize("scenario", ["killed-dumping", "killed-restoring"])
def test_server_killed_in_the_middle_loses_nothing(scenario: str, node: Node) -> None:
    drilled = node.inv("drill", "--no-build", f"--scenario={scenario}", "--json").ok().document
    assert drilled["status"] == "passed"
    assert "failed, as it must" in node.log()
    assert node.running() == EVERYTHING
    assert list(beside(node)) == []
