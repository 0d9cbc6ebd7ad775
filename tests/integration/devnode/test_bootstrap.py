"""The bootstrap service as a process: the same number of rows, never the same ones."""

from __future__ import annotations

import signal
import time
from typing import Any

IDS = "SELECT event_id FROM cn_bootstrap.events ORDER BY event_id"


def wait_for_other_rows(node: Any, before: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    end = time.monotonic() + 10
    while (now := node.query(IDS)) == before:
        assert time.monotonic() < end, "no refresh came"
        time.sleep(0.05)
    found: list[tuple[Any, ...]] = now
    return found


def test_every_refresh_has_new_identifiers_and_the_same_count(node: Any) -> None:
    node.migrated()
    with node.service("bootstrap", BOOTSTRAP_REFRESH_SECONDS="0.2"):
        first = node.query(IDS)
        second = wait_for_other_rows(node, first)
        third = wait_for_other_rows(node, second)
        rows = node.rows()
    assert len(first) == len(second) == len(third) == 6
    assert not set(first) & set(second)
    assert not set(second) & set(third)
    assert rows["cn_bootstrap.peer_hints"] == 3


def test_two_services_do_not_double_the_rows(node: Any) -> None:
    node.migrated()
    with (
        node.service("bootstrap", BOOTSTRAP_REFRESH_SECONDS="0.05"),
        node.service("bootstrap", BOOTSTRAP_REFRESH_SECONDS="0.05") as other,
    ):
        for _ in range(20):
            assert len(node.query(IDS)) == 6
        assert "cannot" not in other.log()


def test_lives_through_the_loss_of_its_database(node: Any) -> None:
    node.migrated()
    with node.service("bootstrap", BOOTSTRAP_REFRESH_SECONDS="0.2") as bootstrap:
        node.drop()
        bootstrap.wait_health(503, 5)
        time.sleep(1.5)
        node.maintain("CREATE DATABASE {}", node.name)
        node.migrated()
        assert bootstrap.wait_health(200, 5) < 2.5
        assert len(node.query(IDS)) == 6
        log = bootstrap.log()
    assert "Traceback" not in log
    assert log.count("the database cannot be used") == 1
    assert log.count("the database is back") == 1


def test_terminates_within_two_seconds(node: Any) -> None:
    node.migrated()
    with node.service("bootstrap") as bootstrap:
        began = time.monotonic()
        bootstrap.process.send_signal(signal.SIGTERM)
        assert bootstrap.process.wait(10) == 0
        assert time.monotonic() - began < 2
