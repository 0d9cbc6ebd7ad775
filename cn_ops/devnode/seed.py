"""`cn e2e`: what the seed puts into the database, and how it is taken out again.

Everything it makes carries a mark: identifiers with the seed's prefix, or the key of the seed's subscriber.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import psycopg
from psycopg.types.json import Jsonb

from cn_ops.devnode.events import SEED_PREFIX
from cn_ops.devnode.seed_events import FEWEST, FIRST_CREATED_AT, SEED_AUTHORS, copy_chunks, event_id

SUBSCRIBER = hashlib.sha256(b"cn e2e subscriber").hexdigest()
ISSUER = hashlib.sha256(b"cn e2e issuer").hexdigest()
MARK = "cn e2e seed"
RULE = f"{SEED_PREFIX}-rule"
INVITE = f"{SEED_PREFIX}-invite"
SCORED = SEED_AUTHORS[:3]
METHODS = ("report-based.v1", "communication-density.v1")
LABELS = ("safe", "spam", "nsfw")
INVITE_EXPIRES_AT = datetime(2100, 1, 1, tzinfo=UTC)
ANALYZE_FROM = 1000  # with fewer rows the planner cannot go far wrong

# The range is what the primary keys can answer; nothing sorts between the prefix and its successor.
_FIRST_ID, _AFTER_LAST_ID = SEED_PREFIX, f"{SEED_PREFIX[:-1]}{chr(ord(SEED_PREFIX[-1]) + 1)}"

# In an order that foreign keys allow.
_REMOVALS = (
    "DELETE FROM cn_index.featured_events WHERE event_id >= %(first)s AND event_id < %(after)s",
    "DELETE FROM cn_index.reindex_jobs WHERE requested_by = %(mark)s",
    "DELETE FROM cn_trust.scores WHERE subject_pubkey = ANY(%(authors)s)",  # attestations go with them
    "DELETE FROM cn_moderation.labels WHERE issuer_pubkey = %(issuer)s",
    "DELETE FROM cn_moderation.reports WHERE reporter_pubkey = %(subscriber)s",
    "DELETE FROM cn_moderation.rules WHERE rule_id = %(rule)s",
    "DELETE FROM cn_user.usage_events WHERE pubkey = %(subscriber)s",
    "DELETE FROM cn_user.subscriber_accounts WHERE subscriber_pubkey = %(subscriber)s",  # subscriptions too
    "DELETE FROM cn_relay.outbox_consumers WHERE consumer = %(mark)s",
    "DELETE FROM cn_relay.events_outbox WHERE event_id >= %(first)s AND event_id < %(after)s",
    "DELETE FROM cn_relay.event_topics WHERE event_id >= %(first)s AND event_id < %(after)s",
    "DELETE FROM cn_relay.events WHERE event_id >= %(first)s AND event_id < %(after)s",
)
COPY = "COPY cn_relay.events (event_id, pubkey, kind, created_at, tags, content, sig, raw_json) FROM STDIN"
_MARKS = {
    "first": _FIRST_ID,
    "after": _AFTER_LAST_ID,
    "mark": MARK,
    "authors": list(SEED_AUTHORS),
    "issuer": ISSUER,
    "subscriber": SUBSCRIBER,
    "rule": RULE,
}


def seed(connection: psycopg.Connection, topic: str, count: int = FEWEST) -> dict[str, object]:
    """Put the seed in, in place of an earlier one, within the connection's transaction.

    Returns what the line ``E2E_SEED_JSON=`` says.
    """
    cleanup(connection, invites=False)
    _insert_events(connection, topic, count)
    _insert_people(connection, topic)
    _insert_opinions(connection, topic)
    if count >= ANALYZE_FROM:
        connection.execute("ANALYZE cn_relay.events, cn_relay.event_topics, cn_relay.events_outbox")
    return {
        "topic": topic,
        "events": count,
        "event_ids": [event_id(topic, number) for number in range(min(count, FEWEST))],
        "event_topics": count,
        "outbox": count,
        "subscriber": SUBSCRIBER,
        "labels": len(LABELS),
        "trust_scores": len(SCORED) * len(METHODS),
    }


def invite(connection: psycopg.Connection, topic: str) -> dict[str, object]:
    """Make the one invite of the seed, or renew it; returns what the line ``E2E_INVITE_JSON=`` says."""
    token = hashlib.sha256(f"cn e2e invite {topic}".encode()).hexdigest()[:32]
    connection.execute(
        "INSERT INTO cn_user.invites (invite_id, token_sha256, topic_id, issuer_pubkey, max_uses, expires_at)"
        " VALUES (%s, %s, %s, %s, 10, %s) ON CONFLICT (invite_id) DO UPDATE"
        " SET token_sha256 = excluded.token_sha256, topic_id = excluded.topic_id",
        (INVITE, hashlib.sha256(token.encode()).digest(), topic, ISSUER, INVITE_EXPIRES_AT),
    )
    return {
        "topic": topic,
        "invite_id": INVITE,
        "token": token,
        "issuer": ISSUER,
        "max_uses": 10,
        "expires_at": int(INVITE_EXPIRES_AT.timestamp()),
    }


def cleanup(connection: psycopg.Connection, *, invites: bool = True) -> int:
    """Remove what the seed made and nothing else; return how many rows that were."""
    removed = sum(connection.execute(statement, _MARKS).rowcount for statement in _REMOVALS)
    if invites:
        removed += connection.execute("DELETE FROM cn_user.invites WHERE invite_id = %s", (INVITE,)).rowcount
    return removed


def _insert_events(connection: psycopg.Connection, topic: str, count: int) -> None:
    with connection.cursor() as cursor:
        with cursor.copy(COPY) as copy:
            for chunk in copy_chunks(topic, count):
                copy.write(chunk)
        marks = {**_MARKS, "topic": topic}
        cursor.execute(
            "INSERT INTO cn_relay.event_topics (event_id, topic_id)"
            " SELECT event_id, %(topic)s FROM cn_relay.events"
            " WHERE event_id >= %(first)s AND event_id < %(after)s ORDER BY created_at",
            marks,
        )
        cursor.execute(
            "INSERT INTO cn_relay.events_outbox (op, event_id, topic_id, kind, created_at, ingested_at)"
            " SELECT 'upsert', event_id, %(topic)s, kind, created_at, ingested_at"
            " FROM cn_relay.events WHERE event_id >= %(first)s AND event_id < %(after)s ORDER BY created_at",
            marks,
        )
        cursor.executemany(
            'INSERT INTO cn_index.featured_events (event_id, topic_id, "position") VALUES (%s, %s, %s)',
            [(event_id(topic, number), topic, number) for number in range(3)],
        )


def _insert_people(connection: psycopg.Connection, topic: str) -> None:
    connection.execute(
        "INSERT INTO cn_user.subscriber_accounts (subscriber_pubkey, note) VALUES (%s, %s)", (SUBSCRIBER, MARK)
    )
    connection.execute(
        "INSERT INTO cn_user.topic_subscriptions (subscriber_pubkey, topic_id) VALUES (%s, %s)",
        (SUBSCRIBER, topic),
    )
    # Without `cn config seed` there is no plan, and no subscription.
    connection.execute(
        "INSERT INTO cn_user.subscriptions (subscriber_pubkey, plan_id)"
        " SELECT %s, plan_id FROM cn_user.plans WHERE plan_id = 'free'",
        (SUBSCRIBER,),
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO cn_user.usage_events (pubkey, metric, units, used_at) VALUES (%s, %s, %s, %s::timestamptz)",
            [
                (SUBSCRIBER, "events.post", 7, "2025-06-01 00:00:00+00"),
                (SUBSCRIBER, "events.post", 2, "2026-06-01 00:00:00+00"),
                (SUBSCRIBER, "index.search", 1, "2024-06-01 00:00:00+00"),
            ],
        )
    connection.execute(
        "INSERT INTO cn_relay.outbox_consumers (consumer, last_seq)"
        " SELECT %s, coalesce(max(seq), 0) FROM cn_relay.events_outbox",
        (MARK,),
    )


def _insert_opinions(connection: psycopg.Connection, topic: str) -> None:
    _insert_moderation(connection, topic)
    _insert_trust(connection, topic)
    connection.execute(
        "INSERT INTO cn_index.reindex_jobs (topic_id, status, requested_by) VALUES (%s, 'done', %s)", (topic, MARK)
    )


def _insert_moderation(connection: psycopg.Connection, topic: str) -> None:
    connection.execute(
        "INSERT INTO cn_moderation.rules (rule_id, priority, condition_json, action_json) VALUES (%s, 10, %s, %s)",
        (RULE, Jsonb({"contains": ["スパム", "spam"]}), Jsonb({"label": "spam", "confidence": 0.9})),
    )
    connection.execute(
        'INSERT INTO cn_moderation.reports (report_id, reporter_pubkey, "target", reason) VALUES (%s, %s, %s, %s)',
        (f"{SEED_PREFIX}-report", SUBSCRIBER, f"event:{event_id(topic, 1)}", "spam"),
    )
    for number, label in enumerate(LABELS):
        connection.execute(
            'INSERT INTO cn_moderation.labels (label_id, "target", topic_id, label, confidence, issuer_pubkey,'
            " rule_id, issued_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            (
                f"{SEED_PREFIX}-label-{number}",
                f"event:{event_id(topic, number)}",
                topic,
                label,
                0.9 - 0.1 * number,
                ISSUER,
                RULE,
                FIRST_CREATED_AT,
            ),
        )


def _insert_trust(connection: psycopg.Connection, topic: str) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            'INSERT INTO cn_trust.scores (subject_pubkey, method, score, "window", evidence)'
            " VALUES (%s, %s, %s, interval '30 days', %s)",
            [
                (author, method, f"0.{4 + number}250", [event_id(topic, number)])
                for number, author in enumerate(SCORED)
                for method in METHODS
            ],
        )
    for number, author in enumerate(SCORED):
        connection.execute(
            "INSERT INTO cn_trust.attestations (attestation_id, subject_pubkey, method, claim_json, signature,"
            " issued_at) VALUES (%s, %s, %s, %s, %s, %s)",
            (
                f"{SEED_PREFIX}-attestation-{number}",
                author,
                METHODS[0],
                Jsonb({"評価": number, "by": MARK}),
                hashlib.sha512(author.encode()).digest(),
                FIRST_CREATED_AT,
            ),
        )
