"""A project's containers, as the engine itself knows them: compose takes three times as long to tell the same."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cn_ops.process import ProcessFailed
from cn_ops.stack.compose_cli import PROJECT_LABEL, Compose, explained

SERVICE_LABEL, ONE_OFF_LABEL = "com.docker.compose.service", "com.docker.compose.oneoff"
FILES_LABEL = f"{PROJECT_LABEL}.config_files"
# A container that was removed between the listing and the look at it.
GONE = re.compile(r"no such (object|container)", re.IGNORECASE)


@dataclass(frozen=True)
class Container:
    """A service's container.

    ``ports`` are the published ones, each as host, port inside and port outside; ``addresses`` its own, one for each
    network; ``files`` the compose files that it was made from, as compose writes them; ``image`` its image's id.
    """

    id: str
    name: str
    service: str
    state: str
    health: str = ""
    is_one_off: bool = False
    ports: tuple[tuple[str, int, int], ...] = ()
    addresses: tuple[str, ...] = ()
    files: str = ""
    image: str = ""
    command: tuple[str, ...] = ()
    environment: tuple[str, ...] = field(default=(), repr=False)  # it may hold secrets

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self.state == "running"

    @property
    def active(self) -> bool:
        """Whether it runs, or may again without being started: paused, or restarted after each crash."""
        return self.state in ("running", "restarting", "paused")

    def variable(self, name: str) -> str:
        """Return a variable of its environment, '' for none."""
        return next((pair.partition("=")[2] for pair in self.environment if pair.startswith(f"{name}=")), "")


def inspected(compose: Compose, ids: Sequence[str]) -> tuple[Container, ...]:
    """Return what the engine knows of containers; one that is gone meanwhile is left out."""
    if not ids:
        return ()
    looked = compose.ask_engine("container", "inspect", *ids, check=False)
    documents = json.loads(looked.stdout or "[]")
    gone = [line for line in looked.stderr.splitlines() if GONE.search(line)]
    if looked.exit_code != 0 and len(gone) < len(ids) - len(documents):
        raise explained(ProcessFailed(replace(looked, stdout="")))  # it may hold secrets
    return tuple(_container(document) for document in documents)


def service_containers(compose: Compose) -> dict[str, Container]:
    """Return the project's containers by their service."""
    return by_service(inspected(compose, compose.container_ids()))


def by_service(found: Sequence[Container]) -> dict[str, Container]:
    """Return containers by their service, one-off ones left out.

    Of a service with several containers one that runs speaks for all: it writes.
    """
    own = [one for one in found if not one.is_one_off]
    return {one.service: one for one in sorted(own, key=lambda one: one.active)}


def _container(document: Mapping[str, Any]) -> Container:
    state, config, network = document["State"], document["Config"], document.get("NetworkSettings") or {}
    labels = config.get("Labels") or {}
    networks = network.get("Networks") or {}
    return Container(
        id=document["Id"],
        name=str(document["Name"]).removeprefix("/"),
        service=labels.get(SERVICE_LABEL, ""),
        state=state["Status"],
        health=_health(state),
        is_one_off=labels.get(ONE_OFF_LABEL, "").lower() == "true",
        ports=tuple(_ports(network.get("Ports") or {})),
        addresses=tuple(one["IPAddress"] for one in networks.values() if one.get("IPAddress")),
        files=labels.get(FILES_LABEL, ""),
        image=str(document.get("Image") or ""),
        command=tuple(config.get("Cmd") or ()),
        environment=tuple(config.get("Env") or ()),
    )


def _health(state: Mapping[str, Any]) -> str:
    status = str((state.get("Health") or state.get("Healthcheck") or {}).get("Status") or "")  # podman's, before 4
    return "" if status == "none" else status


def _ports(published: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    return [
        (str(one.get("HostIp") or ""), int(inside.partition("/")[0]), int(one["HostPort"]))
        for inside, where in published.items()
        for one in where or ()
        if one.get("HostPort")
    ]
