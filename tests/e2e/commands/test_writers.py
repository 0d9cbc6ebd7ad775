"""Writers in every state that an engine knows, while a restore needs them to be gone."""

from __future__ import annotations

from tests.e2e.commands.conftest import Make
from tests.e2e.commands.node import Node, docker, wait_for
from tests.support.processes import wait_until

# Without its database it crashes, and the engine starts it again, for ever.
CRASHING = """
services:
  worker:
    image: ${CN_OPS_POSTGRES_IMAGE:-postgres:17}
    restart: always
    environment: {PGPASSWORD: "${OTHER_NODE_PASSWORD}"}
    entrypoint: [sh, -c, "psql -h db -U keeper -d notes -c 'select 1' && exec sleep infinity"]
"""
DEAF = """
services:
  worker:
    command: [sh, -c, "trap '' TERM; while :; do sleep 1; done"]
"""


def test_dropped_database_comes_back_while_a_writer_crashes_again_and_again(make_other: Make) -> None:
    node = make_other(CRASHING)
    node.inv("stack.up").ok()
    node.sql("insert into naps values (3)")
    node.inv("backup").ok()
    node.sql("drop database notes with (force)", "postgres")
    docker("restart", "--time", "1", node.container("worker"))
    wait_until(lambda: node.containers()["worker"] == "restarting", 30)
    missing = node.inv("backup")
    assert missing.code == 3, missing.text
    assert "the server has no database 'notes'" in missing.err
    assert "inv restore --dump=latest" in missing.err

    restoring = node.start("restore", "--dump=latest", "--strategy=recreate", "--json")
    wait_for(node.loading, restoring)
    while node.loading():
        assert node.containers()["worker"] == "exited", "it came back in the middle of the restore"
    restored = restoring.done().ok().document
    assert restored["restarted"] == ["web", "worker"]
    assert node.sql("select count(*) from notes") == "20"
    wait_until(lambda: node.running() == {"db", "web", "worker"}, 10)


def test_paused_writer_is_stopped_and_runs_again_after_a_restore(other_node: Node) -> None:
    other_node.inv("backup").ok()
    docker("pause", other_node.container("worker"))
    assert other_node.containers()["worker"] == "paused"
    restored = other_node.inv("restore", "--dump=latest", "--json").ok().document
    assert restored["restarted"] == ["web", "worker"]
    assert other_node.running() == {"db", "web", "worker"}


def test_writer_is_stopped_although_a_command_that_was_run_once_has_ended(other_node: Node) -> None:
    other_node.inv("backup").ok()
    other_node.compose("run", "--no-deps", "--entrypoint", "true", "worker")
    restored = other_node.inv("restore", "--dump=latest", "--json").ok().document
    assert restored["restarted"] == ["web", "worker"]


def test_every_container_of_a_writer_is_stopped(other_node: Node) -> None:
    other_node.inv("backup").ok()
    other_node.compose("up", "--detach", "--no-deps", "--scale", "worker=2", "worker")
    docker("stop", "--time", "1", other_node.container("worker").split()[1])
    restored = other_node.inv("restore", "--dump=latest", "--json").ok().document
    assert restored["restarted"] == ["web", "worker"]
    other_node.compose("up", "--detach", "--no-deps", "--scale", "worker=1", "worker")


def test_stack_with_a_paused_server_is_brought_up(other_node: Node) -> None:
    docker("pause", other_node.container("db"), other_node.container("worker"))
    other_node.inv("stack.up").ok()
    assert other_node.running() == {"db", "web", "worker"}


def test_writer_that_was_stopped_before_stays_stopped(other_node: Node) -> None:
    other_node.inv("backup").ok()
    docker("stop", "--time", "1", other_node.container("worker"))
    restored = other_node.inv("restore", "--dump=latest", "--json").ok().document
    assert restored["restarted"] == ["web"]
    assert other_node.running() == {"db", "web"}


def test_writer_that_refuses_to_stop_is_killed_at_the_deadline(make_other: Make) -> None:
    node = make_other(DEAF)
    node.settings["stack"]["stop_deadline"] = 2
    node.configure()
    node.inv("stack.up").ok()
    node.inv("backup").ok()
    restored = node.inv("restore", "--dump=latest", "--json").ok().document
    (stopping,) = [phase["seconds"] for phase in restored["phases"] if phase["name"] == "stop writers"]
    assert 2 <= stopping < 30
    assert node.running() == {"db", "web", "worker"}
    assert node.sql("select count(*) from notes") == "20"


def test_container_that_compose_has_not_made_is_no_service(other_node: Node) -> None:
    """An image that compose builds names its project and service, and so does what somebody runs from it."""
    other_node.inv("backup").ok()
    docker("stop", "--time", "1", other_node.container("worker"))
    image = docker("inspect", "--format", "{{.Image}}", other_node.container("worker")).strip()
    labels = (f"com.docker.compose.project={other_node.project}", "com.docker.compose.service=worker")
    named = [f"--label={one}" for one in labels]
    foreign = docker("run", "--detach", "--rm", "--network=none", *named, "--entrypoint=sleep", image, "600").strip()
    try:
        restored = other_node.inv("restore", "--dump=latest", "--json").ok().document
        assert restored["restarted"] == ["web"], "that writer was stopped before"
        assert foreign in docker("ps", "--quiet", "--no-trunc").split(), "it is somebody else's"
    finally:
        docker("rm", "--force", foreign)
    assert other_node.running() == {"db", "web"}
