"""What the stack needs is missing or wrong: each error names it, says what state everything is in, and what to do."""

from __future__ import annotations

import shutil
import socket
import stat
import time
from pathlib import Path

import pytest

from tests.e2e.commands.conftest import Make
from tests.e2e.commands.node import Done, Node
from tests.support.stacks import COMPOSE_FILE

OLD_COMPOSE = """#!/bin/sh
case "$*" in *version*) echo 2.3.3 ;; *) echo "it was used: $*" >&2; exit 9 ;; esac
"""
NEVER_READY = "services: {db: {entrypoint: [sleep, infinity]}}"
ENDS_AT_ONCE = "services: {db: {entrypoint: [sh, -c, 'echo the disk has gone; exit 3']}}"
UNREACHABLE = "services: {db: {network_mode: none}}"
NO_IMAGE = "services: {db: {image: 'cn-ops.invalid/no-such-image:1'}}"
BROKEN = {"not YAML": "services: {db: [", "not a compose file": "services: {db: {imagine: postgres}}"}


def refused(done: Done, code: int, *words: str) -> None:
    """Require an error with this code, with what it must say, and with a way out."""
    assert done.code == code, done.text
    for word in (*words, "do: "):
        assert word in done.err, done.err


@pytest.fixture
def without_docker(tmp_path: Path) -> str:
    """A PATH on which everything else than Docker is found."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("sh", "env", "ps", "id"):
        (folder / name).symlink_to(str(shutil.which(name)))
    return str(folder)


def auto(node: Node) -> Node:
    """Let a node choose between the demo's own compose file and the embedded stack."""
    node.settings["stack"] = {"kind": "auto", "compose": {"files": [str(COMPOSE_FILE)], "project": node.project}}
    node.configure()
    return node


def test_no_docker_at_all(make_other: Make, without_docker: str) -> None:
    node = make_other()
    for command in (("stack.up",), ("backup",), ("drill",), ("restore", "--dump=latest"), ("stack.down",)):
        refused(node.inv(*command, PATH=without_docker), 3, "`docker` is not installed", "--stack=embedded")
    assert node.summary()["error"]["exit_code"] == 3
    assert node.containers() == {}


def test_no_engine_answers(make_other: Make) -> None:
    node = make_other()
    for command in (("stack.up",), ("backup",), ("restore", "--dump=latest"), ("stack.status",)):
        done = node.inv(*command, DOCKER_HOST="unix:///nonexistent.sock")
        refused(done, 3, "no Docker engine answers", "--stack=embedded")


def test_auto_takes_the_embedded_stack_and_says_why_in_one_line(make_demo: Make, without_docker: str) -> None:
    node = auto(make_demo())
    for reason, environment in (
        ("`docker` is not installed", {"PATH": without_docker}),
        ("no Docker engine answers", {"DOCKER_HOST": "unix:///nonexistent.sock"}),
    ):
        done = node.inv("stack.status", **environment).ok()
        assert done.err == f"stack: embedded: {reason}\n"
        assert done.out.startswith("embedded")
    assert "stack: compose: a Docker engine answers\n" in node.inv("stack.status").ok().err


def test_auto_never_takes_the_embedded_stack_for_a_node_that_the_settings_name(make_other: Make) -> None:
    node = make_other()
    node.settings["stack"]["kind"] = "auto"
    node.configure()
    refused(node.inv("backup", DOCKER_HOST="unix:///nonexistent.sock"), 3, "no Docker engine answers")


def test_compose_that_is_too_old(make_other: Make) -> None:
    node = make_other()
    program = node.folder / "old compose" / "docker-compose"
    program.parent.mkdir()
    program.write_text(OLD_COMPOSE)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    node.settings["stack"]["compose"]["command"] = f"'{program}'"
    node.configure()
    refused(node.inv("stack.up"), 3, "compose 2.3.3 is too old", "2.17", "nothing was started")


def test_compose_file_that_is_not_there(make_other: Make) -> None:
    node = make_other()
    node.settings["stack"]["compose"]["files"] = ["gone/compose.yml"]
    node.configure()
    for command in (("stack.up",), ("backup",), ("stack.down", "--volumes"), ("stack.status",)):
        refused(node.inv(*command), 2, f"{node.folder}/gone/compose.yml is not there", "stack.compose.files")


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_compose_file_that_is_no_such_file(make_other: Make, text: str) -> None:
    node = make_other()
    (node.folder / "node.yml").write_text(text)
    for command in (("stack.up",), ("backup",)):
        refused(node.inv(*command), 2, "compose cannot read", "node.yml", "nothing was started")


@pytest.mark.parametrize("setting", ["postgres.service", "writers", "drill.service"])
def test_service_that_the_compose_file_does_not_have(make_other: Make, setting: str) -> None:
    node = make_other()
    section, _, key = setting.rpartition(".")
    parent = node.settings["drill"] if section == "drill" else node.settings["stack"]
    parent = parent["postgres"] if section == "postgres" else parent
    parent[key] = ["nobody"] if key == "writers" else "nobody"
    node.configure()
    for command in ("stack.up", "backup"):
        refused(node.inv(command), 2, "no service 'nobody'", setting, "its services: ", "nothing was started")
    assert node.containers() == {}


def test_port_that_is_taken(make_other: Make) -> None:
    node = make_other()
    with socket.create_server(("127.0.0.1", node.port)):
        done = node.inv("stack.up")
    refused(done, 3, "port", str(node.port), "is taken", "now: ")
    assert node.running() == {"db"}
    node.inv("stack.up").ok()
    assert node.running() == {"db", "web", "worker"}


def test_image_that_cannot_be_pulled(make_other: Make) -> None:
    node = make_other(NO_IMAGE)
    refused(
        node.inv("stack.up"), 3, "an image is neither here nor can it be pulled", "cn-ops.invalid/no-such-image:1"
    )
    assert node.containers() == {}


def test_server_that_never_becomes_ready_is_given_up_at_its_deadline(make_other: Make) -> None:
    node = make_other(NEVER_READY)
    node.settings["stack"]["postgres"]["deadline"] = 3
    node.configure()
    began = time.monotonic()
    refused(node.inv("stack.up"), 6, "(db) did not become ready within 3 s", "stack.postgres.deadline", "now: ")
    assert 3 < time.monotonic() - began < 30


def test_server_that_ends_at_once_is_not_waited_for(make_other: Make) -> None:
    node = make_other(ENDS_AT_ONCE)
    began = time.monotonic()
    refused(node.inv("stack.up"), 1, "db has ended", "the disk has gone")
    assert time.monotonic() - began < 45


def test_server_that_cannot_be_reached_from_here(make_other: Make) -> None:
    node = make_other(UNREACHABLE)
    node.settings["stack"]["writers"] = ["worker"]
    node.settings["application"]["health_path"] = "/"
    node.configure()
    node.compose("up", "--detach", "db")
    refused(node.inv("backup"), 3, "db cannot be reached from here", 'ports: ["127.0.0.1::5432"]')
    assert node.backups() == []


def test_application_that_never_becomes_healthy_is_given_up_at_its_deadline(make_other: Make) -> None:
    node = make_other()
    node.settings["application"] |= {"health_path": "/nothing", "deadline": 3}
    node.configure()
    node.compose("up", "--detach", "db", "web", "worker")
    began = time.monotonic()
    done = node.inv("stack.up")
    refused(done, 6, "/nothing was not healthy within 3 s", "HTTP 404", "application.deadline", "now: ")
    assert 3 < time.monotonic() - began < 30


def test_drill_on_a_stack_that_is_not_declared_disposable_starts_nothing(make_other: Make) -> None:
    node = make_other()
    del node.settings["stack"]["disposable"]
    node.configure()
    for command in ("drill", "recovery-drill"):
        refused(node.inv(command), 2, "is not disposable", "nothing was started or changed", "stack.disposable")
    assert node.containers() == {}
    assert node.volumes() == []
    assert node.log() == ""


def test_project_of_another_checkout_is_refused_and_left_alone(make_other: Make) -> None:
    first, second = make_other(), make_other()
    first.inv("stack.up").ok()
    second.settings["stack"]["compose"]["project"] = first.project
    second.configure()
    commands = (("stack.up",), ("backup",), ("drill",), ("restore", "--dump=latest"), ("stack.down", "--volumes"))
    for command in commands:
        refused(second.inv(*command), 2, f"the compose project '{first.project}' belongs to", "stack.compose.project")
    assert first.running() == {"db", "web", "worker"}
    assert first.sql("select count(*) from notes") == "20"
