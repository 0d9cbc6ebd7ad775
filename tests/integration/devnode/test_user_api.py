"""The user API as a process: what it serves, and how it lives through the loss of its database."""

from __future__ import annotations

import signal
import socket
import time
from typing import Any

TOPIC = "kukuri:e2e-alpha"
AUTHOR = "ab" * 32


def event(**changes: Any) -> dict[str, Any]:
    return {"pubkey": AUTHOR, "kind": 1, "created_at": 5, "content": "本文 🌸", "tags": [["t", TOPIC]], **changes}


def test_posted_event_is_served_once(node: Any) -> None:
    with node.service("user-api") as api:
        made = api.http.post("/v1/events", json=event())
        again = api.http.post("/v1/events", json=event())
        assert (made.status_code, again.status_code) == (201, 409)
        assert again.json()["error"] == "duplicate event"
        served = api.http.get("/v1/events", params={"topic": TOPIC}).json()
    assert served["count"] == 1
    assert served["events"][0]["event_id"] == made.json()["event_id"]
    assert served["events"][0]["content"] == "本文 🌸"
    assert node.query("SELECT op, topic_id FROM cn_relay.events_outbox") == [("upsert", TOPIC)]


def test_events_come_by_time_then_identifier_from_since_up_to_limit(node: Any) -> None:
    with node.service("user-api") as api:
        for number, created_at in enumerate([30, 10, 20, 20]):
            document = event(created_at=created_at, id=f"{9 - number}" * 64)
            assert api.http.post("/v1/events", json=document).status_code == 201
        assert api.http.post("/v1/events", json=event(tags=[["t", "other"]])).status_code == 201

        def ids(**parameters: Any) -> list[str]:
            answer = api.http.get("/v1/events", params={"topic": TOPIC, **parameters}).json()
            assert answer["count"] == len(answer["events"])
            return [found["event_id"][0] for found in answer["events"]]

        assert ids() == ["8", "6", "7", "9"]
        assert ids(since=20) == ["6", "7", "9"]
        assert ids(since=20, limit=2) == ["6", "7"]
        assert ids(topic="nobody") == []
        assert api.http.get("/v1/events").json()["count"] == 5


def test_bad_requests_are_answered_with_every_problem(node: Any) -> None:
    with node.service("user-api") as api:
        bad = api.http.post("/v1/events", json={"pubkey": "x", "kind": "note"})
        assert (bad.status_code, len(bad.json()["problems"])) == (400, 2)
        for body in (b"", b"{", b"\xff", b"[" * 100_000, b"null"):
            assert api.http.post("/v1/events", content=body).status_code == 400
        assert api.http.post("/v1/events", content=b" " * (2 << 20)).status_code == 413
        for query in ("limit=0", "limit=10001", "since=x", "topic=", "topic=%00", "colour=red", "limit=1&limit=2"):
            assert api.http.get(f"/v1/events?{query}").status_code == 400, query
        assert "Traceback" not in api.log()
    assert node.rows()["cn_relay.events"] == 0


def test_newest_version_of_a_replaceable_event_is_current(node: Any) -> None:
    with node.service("user-api") as api:
        for created_at in (10, 30, 20):
            assert api.http.post("/v1/events", json=event(kind=0, created_at=created_at)).status_code == 201
    current = node.query("SELECT created_at::int, is_current FROM cn_relay.events ORDER BY created_at")
    assert current == [(10, False), (20, False), (30, True)]


def test_metrics_count_requests_and_events(node: Any) -> None:
    with node.service("user-api") as api:
        api.http.post("/v1/events", json=event())
        api.http.get("/v1/events?limit=x")
        shown = api.http.get("/metrics")
    assert shown.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = shown.text.splitlines()
    assert "cn_database_up 1" in lines
    assert "cn_events_posted_total 1" in lines
    assert 'cn_http_requests_total{method="GET",route="/v1/events",status="400"} 1' in lines


def test_starts_on_a_seeded_database_without_changing_it(node: Any) -> None:
    node.migrated().ok("e2e", "seed")
    before = node.rows()
    with node.service("user-api") as api:
        assert api.http.get("/v1/events", params={"topic": TOPIC}).json()["count"] == 9
    assert node.rows() == before


def test_dropped_database_is_unavailable_until_its_tables_are_back(node: Any) -> None:
    with node.service("user-api") as api:
        node.ok("e2e", "seed")
        node.drop()
        answer = api.http.get("/healthz")
        assert (answer.status_code, answer.json()) == (503, {"status": "unavailable"})
        assert api.http.get("/v1/events").status_code == 503
        assert "cn_database_up 0" in api.http.get("/metrics").text
        node.maintain("CREATE DATABASE {}", node.name)
        time.sleep(0.2)
        assert api.health() == 503, "an empty database is not healthy"
        node.ok("migrate")
        assert api.wait_health(200, 5) < 2.5
        assert api.http.get("/v1/events").json()["count"] == 0
        log = api.log()
    assert "Traceback" not in log
    assert log.count("the database cannot be used") == 1
    assert f'database "{node.name}" does not exist' in log, "the log says why"
    assert log.count("the database is back") == 1


def test_killed_connections_are_replaced_at_the_next_request(node: Any) -> None:
    with node.service("user-api") as api:
        node.query(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        api.wait_health(200, 10)


def test_terminates_with_connections_open(node: Any) -> None:
    with node.service("user-api") as api, socket.create_connection(("127.0.0.1", api.port)) as idle:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: node\r\n\r\n")
        assert idle.recv(4096).startswith(b"HTTP/1.1 200")
        with socket.create_connection(("127.0.0.1", api.port)) as stuck:
            stuck.sendall(b"POST /v1/events HTTP/1.1\r\nHost: node\r\nContent-Length: 10\r\n\r\n{")
            time.sleep(0.1)
            api.process.send_signal(signal.SIGTERM)
            assert api.process.wait(10) == 0
        assert "Traceback" not in api.log()


def test_port_that_is_taken_is_one_line(node: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        failed = node.run("user-api", USER_API_ADDR=address)
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1
    assert f"cannot listen on {address}" in failed.stderr
