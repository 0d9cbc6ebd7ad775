"""What the engine says of a project's containers, and how it is read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

import pytest

from cn_ops.errors import MissingError, OpsError
from cn_ops.process import Completed
from cn_ops.stack.compose_cli import Compose
from cn_ops.stack.compose_containers import Container, by_service, inspected, service_containers


def document(name: str, service: str, *, once: bool = False, **state: Any) -> dict[str, Any]:
    return {
        "Id": f"id-{name}",
        "Name": f"/{name}",
        "Image": "sha256:1234",
        "State": {"Status": "running", "ExitCode": 0, **state},
        "Config": {
            "Env": ["POSTGRES_USER=cn", "POSTGRES_PASSWORD=a=b", "EMPTY="],
            "Cmd": ["postgres", "-c", "fsync=off"],
            "Labels": {
                "com.docker.compose.service": service,
                "com.docker.compose.oneoff": str(once),
                "com.docker.compose.project.config_files": "/node/one.yml,/node/two.yml",
            },
        },
        "NetworkSettings": {
            "Ports": {"5432/tcp": [{"HostIp": "127.0.0.1", "HostPort": "32768"}], "8080/tcp": None},
            "Networks": {"node_default": {"IPAddress": "172.18.0.2"}, "closed": {"IPAddress": ""}},
        },
    }


class Engine:
    """Answers what was put into it, as `compose_cli.Compose` would hand it on."""

    def __init__(self, documents: Sequence[dict[str, Any]], exit_code: int = 0, stderr: str = "") -> None:
        self.asked: list[tuple[str, ...]] = []
        self._said = Completed(("docker",), exit_code, json.dumps(documents), stderr, 0.0)

    def container_ids(self) -> tuple[str, ...]:
        return tuple(one["Id"] for one in json.loads(self._said.stdout))

    def ask_engine(self, *arguments: str, check: bool = True) -> Completed:
        assert not check
        self.asked.append(arguments)
        return self._said


def engine(documents: Sequence[dict[str, Any]], exit_code: int = 0, stderr: str = "") -> Compose:
    return cast("Compose", Engine(documents, exit_code, stderr))


def test_container_is_read_as_the_engine_tells_it() -> None:
    there = inspected(engine([document("node-postgres-1", "postgres", Health={"Status": "healthy"})]), ["x"])
    assert there == (
        Container(
            id="id-node-postgres-1",
            name="node-postgres-1",
            service="postgres",
            state="running",
            health="healthy",
            ports=(("127.0.0.1", 5432, 32768),),
            addresses=("172.18.0.2",),
            files="/node/one.yml,/node/two.yml",
            image="sha256:1234",
            command=("postgres", "-c", "fsync=off"),
            environment=("POSTGRES_USER=cn", "POSTGRES_PASSWORD=a=b", "EMPTY="),
        ),
    )
    assert there[0].variable("POSTGRES_PASSWORD") == "a=b"
    assert there[0].variable("EMPTY") == there[0].variable("POSTGRES") == ""


@pytest.mark.parametrize("health", [{}, {"Health": None}, {"Health": {"Status": "none"}}])
def test_a_service_without_a_health_check_says_nothing_of_it(health: dict[str, Any]) -> None:
    assert inspected(engine([document("node-worker-1", "worker", **health)]), ["x"])[0].health == ""


def test_what_never_ran_has_neither_port_nor_address() -> None:
    created = document("node-worker-1", "worker", Status="created") | {"NetworkSettings": {"Ports": {}}}
    (there,) = inspected(engine([created]), ["x"])
    assert (there.state, there.ports, there.addresses) == ("created", (), ())


def test_containers_of_commands_that_run_once_are_no_service() -> None:
    once = document("node-once-0123456789ab", "worker", once=True)
    assert service_containers(engine([once])) == {}
    assert service_containers(engine([once, document("node-worker-1", "worker")]))["worker"].name == "node-worker-1"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_several_containers_one_that_runs_speaks_for_the_service(order: tuple[int, int]) -> None:
    both = inspected(
        engine([document("node-worker-1", "worker", Status="exited"), document("node-worker-2", "worker")]), ["x"]
    )
    assert by_service([both[number] for number in order])["worker"].name == "node-worker-2"


def test_nobody_is_asked_about_no_container() -> None:
    asked = Engine([])
    assert inspected(cast("Compose", asked), []) == ()
    assert asked.asked == []


@pytest.mark.parametrize(
    "said", ["Error: No such container: id-2", "Error response from daemon: No such object: id-2"]
)
def test_a_container_that_is_gone_meanwhile_is_left_out(said: str) -> None:
    there = inspected(engine([document("node-worker-1", "worker")], exit_code=1, stderr=said), ["id-1", "id-2"])
    assert [one.name for one in there] == ["node-worker-1"]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", MissingError),
        ("Error: No such container: id-2\nError response from daemon: disk failure", OpsError),
        ("", OpsError),
    ],
)
def test_any_other_failure_is_no_absent_container(said: str, kind: type[OpsError]) -> None:
    with pytest.raises(kind):
        inspected(engine([], exit_code=1, stderr=said), ["id-1", "id-2"])


@pytest.mark.parametrize(
    ("state", "active"),
    [
        ("running", True),
        ("restarting", True),
        ("paused", True),
        ("exited", False),
        ("created", False),
        ("dead", False),
    ],
)
def test_what_may_come_back_by_itself_counts_as_active(state: str, active: bool) -> None:
    assert Container("1", "node-worker-1", "worker", state).active is active
