"""What must hold for the demo's compose file, whatever it is changed to."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from cn_ops.settings import Settings
from cn_ops.stack.choose import OWN_COMPOSE_FILE

CHECKOUT = OWN_COMPOSE_FILE.parents[1]
TEXT = OWN_COMPOSE_FILE.read_text()
DOCUMENT: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]


def test_services_are_those_of_the_default_settings() -> None:
    stack = Settings().stack
    assert set(SERVICES) == {stack.postgres.service, *stack.writers}
    assert DOCUMENT["name"] == stack.compose.project


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_loopback_only(name: str) -> None:
    assert all(str(port).startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_says_whether_it_is_healthy(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", SERVICES)
def test_two_projects_can_live_side_by_side(name: str) -> None:
    assert "container_name" not in SERVICES[name]
    assert all(
        isinstance(volume, str) and not volume.startswith((".", "/")) for volume in SERVICES[name].get("volumes", ())
    )


@pytest.mark.parametrize("name", SERVICES)
def test_image_can_be_replaced_by_the_environment(name: str) -> None:
    assert re.fullmatch(r"\$\{CN_OPS_\w+_IMAGE:-\S+\}", SERVICES[name]["image"])


def test_health_of_the_server_is_asked_over_tcp() -> None:
    # The official image's temporary server listens on the socket only: asking there would find that one.
    assert "--host=127.0.0.1" in SERVICES[Settings().stack.postgres.service]["healthcheck"]["test"]


@pytest.mark.parametrize("name", Settings().stack.writers)
def test_the_node_runs_without_rights(name: str) -> None:
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES[name]["read_only"] is True


def test_every_variable_is_explained_at_the_top() -> None:
    head = TEXT[: TEXT.index("\nname:")]
    used = set(re.findall(r"\$\{(\w+)", TEXT))
    assert used
    assert {name for name in used if name not in head} == set()


def test_image_holds_only_what_the_dockerfile_copies() -> None:
    copied = {
        word
        for line in (CHECKOUT / "compose/Dockerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    }
    sent = {line[1:] for line in (CHECKOUT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sent == copied
    assert copied
