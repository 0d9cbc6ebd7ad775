"""Rows of `compose ps --all` that are not a service's own containers."""

from __future__ import annotations

import pytest

from cn_ops.stack.compose_cli import Container, _is_one_off

SERVICE = {"Name": "node-worker-1", "Labels": "com.docker.compose.oneoff=False,com.docker.compose.service=worker"}
RUN_ONCE = {"Name": "node-worker-run-2c3fb549776e", "Labels": "com.docker.compose.oneoff=True"}


@pytest.mark.parametrize("named", [{}, {"Labels": ""}], ids=["no labels", "empty labels"])
def test_container_of_a_command_run_once_is_known_by_its_name_where_compose_gives_no_labels(
    named: dict[str, str],
) -> None:
    assert _is_one_off({"Name": "node-worker-run-2c3fb549776e", **named})
    assert _is_one_off({"Name": "node-once-0123456789ab", **named})
    assert not _is_one_off({"Name": "node-run-1", **named})
    assert not _is_one_off({"Name": "node-worker-1", **named})


def test_label_decides_where_there_is_one() -> None:
    assert _is_one_off(RUN_ONCE)
    assert not _is_one_off(SERVICE)
    assert not _is_one_off({**SERVICE, "Name": "service-run-2c3fb549776e"})


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
    assert Container("1", "worker", state, "", 0, ()).active is active
