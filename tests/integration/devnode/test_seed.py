"""`cn e2e` on a real server: one set, the same one, and gone without a trace."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import psycopg

SEEDED = "SELECT event_id, pubkey, kind, created_at, tags, content, sig, raw_json FROM cn_relay.events ORDER BY 1"


def digest(rows: list[tuple[Any, ...]]) -> str:
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def line(out: str, name: str) -> dict[str, Any]:
    assert out.count("\n") == 1
    assert out.startswith(f"{name}=")
    found: dict[str, Any] = json.loads(out.partition("=")[2])
    return found


def test_seed_makes_what_is_promised_and_says_so_in_one_line(node: Any) -> None:
    said = line(node.migrated().ok("e2e", "seed"), "E2E_SEED_JSON")
    rows = node.rows()
    assert (said["topic"], said["events"], len(said["event_ids"])) == ("kukuri:e2e-alpha", 9, 9)
    assert (rows["cn_relay.events"], rows["cn_relay.event_topics"], rows["cn_relay.events_outbox"]) == (9, 9, 9)
    assert (rows["cn_user.subscriber_accounts"], rows["cn_user.subscriptions"]) == (1, 1)
    assert (rows["cn_moderation.labels"], rows["cn_trust.scores"]) == (said["labels"], said["trust_scores"])
    kinds = node.query("SELECT kind, count(*)::int FROM cn_relay.events GROUP BY kind ORDER BY kind")
    assert kinds == [(1, 7), (6, 1), (7, 1)]
    assert [row[0] for row in node.query(SEEDED)] == said["event_ids"]
    assert node.query("SELECT event_count::int FROM cn_relay.topic_activity") == [(9,)]
    # what the relay keeps of an event is the event itself
    assert node.query("SELECT count(*)::int FROM cn_relay.events WHERE raw_json ->> 'content' <> content") == [(0,)]


def test_every_part_of_the_schema_holds_rows_after_the_seed(node: Any) -> None:
    node.migrated().ok("e2e", "seed")
    node.ok("e2e", "invite")
    empty = {table for table, count in node.rows().items() if count == 0}
    # sessions come from people, and what bootstrap tells comes from bootstrap
    assert empty == {"cn_admin.admin_sessions", "cn_bootstrap.events", "cn_bootstrap.peer_hints"}


def test_seeding_twice_leaves_one_set(node: Any) -> None:
    first = node.migrated().ok("e2e", "seed")
    rows, content = node.rows(), digest(node.query(SEEDED))
    assert node.ok("e2e", "seed") == first
    assert node.rows() == rows
    assert digest(node.query(SEEDED)) == content


def test_any_number_is_the_same_in_another_database(node: Any) -> None:
    node.migrated()
    said = line(node.ok("e2e", "seed", "--events", "1234"), "E2E_SEED_JSON")
    assert (said["events"], len(said["event_ids"])) == (1234, 9)
    content = digest(node.query(SEEDED))
    node.recreate()
    node.migrated().ok("e2e", "seed", "--events", "1234")
    assert digest(node.query(SEEDED)) == content
    assert node.rows()["cn_relay.events_outbox"] == 1234


def test_fewer_events_take_the_place_of_more(node: Any) -> None:
    node.migrated().ok("e2e", "seed", "--events", "500")
    node.ok("e2e", "seed")
    rows = node.rows()
    assert (rows["cn_relay.events"], rows["cn_relay.event_topics"], rows["cn_relay.events_outbox"]) == (9, 9, 9)


def test_topic_comes_from_the_environment(node: Any) -> None:
    topic = "kukuri:ドリル 'quoted' \"twice\" \\ 🌸"
    said = line(node.migrated().ok("e2e", "seed", E2E_COMMUNITY_NODE_TOPIC_NAME=topic), "E2E_SEED_JSON")
    assert said["topic"] == topic
    assert node.query("SELECT DISTINCT topic_id FROM cn_relay.event_topics") == [(topic,)]
    assert node.query("SELECT DISTINCT tags -> 0 ->> 1 FROM cn_relay.events") == [(topic,)]


def test_cleanup_takes_all_that_the_seed_made_and_nothing_else(node: Any) -> None:
    node.migrated()
    with node.service("user-api") as api:
        posted = {"pubkey": "ab" * 32, "kind": 1, "content": "mine", "tags": [["t", "kukuri:e2e-alpha"]]}
        assert api.http.post("/v1/events", json=posted).status_code == 201
        before = node.rows()
        for arguments in (["e2e", "seed"], ["e2e", "seed", "--events", "3000"], ["e2e", "invite"]):
            node.ok(*arguments)
        assert node.rows()["cn_relay.events"] == 3001
        node.ok("e2e", "cleanup")
        assert node.rows() == before
        served = api.http.get("/v1/events", params={"topic": "kukuri:e2e-alpha"}).json()
    assert [event["content"] for event in served["events"]] == ["mine"]


def test_cleanup_finds_what_is_left_of_a_damaged_seed(node: Any) -> None:
    before = node.migrated().rows()
    node.ok("e2e", "seed")
    with psycopg.connect(node.url) as connection:
        connection.execute("TRUNCATE cn_relay.events CASCADE")
    node.ok("e2e", "cleanup")
    assert node.rows() == before


def test_cleanup_of_nothing_is_fine(node: Any) -> None:
    assert "0 rows removed" in node.migrated().run("e2e", "cleanup").stderr


def test_invite_is_one_line_and_one_row(node: Any) -> None:
    said = line(node.migrated().ok("e2e", "invite"), "E2E_INVITE_JSON")
    assert line(node.ok("e2e", "invite"), "E2E_INVITE_JSON") == said
    stored = node.query("SELECT topic_id, token_sha256 FROM cn_user.invites")
    assert stored == [("kukuri:e2e-alpha", hashlib.sha256(said["token"].encode()).digest())]


def test_seed_without_the_schema_says_what_to_do_and_prints_no_json(node: Any) -> None:
    failed = node.run("e2e", "seed")
    assert failed.returncode == 1
    assert "cn migrate" in failed.stderr
    assert failed.stderr.count("\n") == 1
    assert failed.stdout == ""
