"""How compose is called is a setting: command, project directory, environment file, profiles."""

from __future__ import annotations

import stat

from tests.e2e.commands.conftest import Make
from tests.e2e.commands.node import Node, docker

STANDALONE = """#!/bin/sh
echo called >> "$(dirname "$0")/calls"
exec docker compose "$@"
"""
MARK = "{{range .Config.Env}}{{println .}}{{end}}"


def mark(node: Node) -> str:
    """Return the value that the environment file gave to a service."""
    environment = docker("inspect", "--format", MARK, node.container("worker")).splitlines()
    return dict(line.split("=", 1) for line in environment if line)["MARK"]


def test_standalone_binary_does_everything(make_other: Make) -> None:
    node = make_other()
    program = node.folder / "a standalone" / "docker-compose"
    program.parent.mkdir()
    program.write_text(STANDALONE)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    node.settings["stack"]["compose"]["command"] = f"'{program}'"
    node.configure()
    node.inv("drill", "--no-build").ok()
    assert len((program.parent / "calls").read_text().splitlines()) > 10
    assert node.containers() == {}


def test_dot_env_of_the_project_directory_is_read(make_other: Make) -> None:
    node = make_other()
    directory = node.folder / "the project directory"
    directory.mkdir()
    (node.folder / "notes.sql").rename(directory / "notes.sql")
    (directory / ".env").write_text("OTHER_NODE_MARK=from .env\n")
    node.settings["stack"]["compose"]["directory"] = directory.name
    node.configure()
    node.inv("stack.up").ok()
    assert mark(node) == "from .env"
    assert node.sql("select count(*) from notes") == "20", "its relative paths start from the project directory"


def test_environment_file_and_profiles_are_handed_on(make_other: Make) -> None:
    node = make_other()
    (node.folder / ".env").write_text("OTHER_NODE_MARK=from .env\n")
    (node.folder / "of the node.env").write_text("OTHER_NODE_MARK=from the file that is named\n")
    node.settings["stack"]["compose"] |= {"env_file": "of the node.env", "profiles": ["more"]}
    node.settings["stack"]["writers"] = ["web", "worker", "extra"]
    node.configure()
    node.inv("stack.up").ok()
    assert mark(node) == "from the file that is named"
    assert node.running() == {"db", "web", "worker", "extra"}
    node.inv("backup").ok()
    restored = node.inv("restore", "--dump=latest", "--json").ok().document
    assert restored["restarted"] == ["web", "worker", "extra"]


def test_environment_file_that_is_not_there_is_named(make_other: Make) -> None:
    node = make_other()
    node.settings["stack"]["compose"]["env_file"] = "gone.env"
    node.configure()
    refused = node.inv("stack.up")
    assert refused.code == 2, refused.text
    assert f"{node.folder / 'gone.env'} is not there" in refused.err
    assert "nothing was started" in refused.err
