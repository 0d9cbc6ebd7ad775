"""What the user API asks of the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb

from cn_ops.devnode.events import Event

COLUMNS = ("event_id", "pubkey", "kind", "created_at", "tags", "content", "sig")
INSERTED = (*COLUMNS, "raw_json", "ingested_at", "is_ephemeral", "is_current", "replaceable_key", "addressable_key")


@dataclass(frozen=True)
class Query:
    """Which events are asked for: of one topic or of all, from ``since`` (seconds) on, at most ``limit``."""

    topic: str | None
    since: int
    limit: int


async def list_events(connection: AsyncConnection[Any], query: Query) -> list[DictRow]:
    """Return events, the oldest first; the order is the same for every reader."""
    statement = sql.SQL(
        "SELECT {columns} FROM cn_relay.events AS e WHERE e.created_at >= %(since)s AND NOT e.is_deleted {of_topic}"
        " ORDER BY e.created_at, e.event_id LIMIT %(limit)s"
    ).format(
        columns=sql.SQL(", ").join(sql.Identifier("e", name) for name in COLUMNS),
        of_topic=sql.SQL(
            "AND EXISTS (SELECT 1 FROM cn_relay.event_topics AS t"
            " WHERE t.event_id = e.event_id AND t.topic_id = %(topic)s)"
        )
        if query.topic is not None
        else sql.SQL(""),
    )
    parameters = {"since": query.since, "limit": query.limit, "topic": query.topic}
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement, parameters)
        return await cursor.fetchall()


async def insert_event(connection: AsyncConnection[Any], event: Event) -> bool:
    """Keep an event, with its topics and its outbox entries; return False when it is there already."""
    key = event.replaceable_key or event.addressable_key
    is_current = True
    if key is not None:
        is_current = await _make_room(connection, event, key)
    ingested_at = datetime.now(UTC)
    statement = sql.SQL("INSERT INTO cn_relay.events ({}) VALUES ({}) ON CONFLICT (event_id) DO NOTHING").format(
        sql.SQL(", ").join(map(sql.Identifier, INSERTED)),
        sql.SQL(", ").join(sql.Placeholder() for _ in INSERTED),
    )
    document = event.document()
    values = [event.event_id, event.pubkey, event.kind, event.created_at, Jsonb(document["tags"]), event.content]
    values += [event.sig, Jsonb(document), ingested_at, event.is_ephemeral, is_current]
    values += [event.replaceable_key, event.addressable_key]
    inserted = await connection.execute(statement, values)
    if not inserted.rowcount:
        return False
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO cn_relay.event_topics (event_id, topic_id) VALUES (%s, %s)",
            [(event.event_id, topic) for topic in event.topics],
        )
        await cursor.executemany(
            "INSERT INTO cn_relay.events_outbox (op, event_id, topic_id, kind, created_at, ingested_at,"
            " effective_key) VALUES ('upsert', %s, %s, %s, %s, %s, %s)",
            [(event.event_id, topic, event.kind, event.created_at, ingested_at, key) for topic in event.topics],
        )
    await connection.execute(
        "INSERT INTO cn_user.usage_events (pubkey, metric, used_at) VALUES (%s, 'events.post', %s)",
        (event.pubkey, ingested_at),
    )
    return True


async def _make_room(connection: AsyncConnection[Any], event: Event, key: str) -> bool:
    """Whether the event becomes the current one of its key; the one before then ceases to be."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (key,))
    found = await connection.execute(
        "SELECT event_id, created_at FROM cn_relay.events"
        " WHERE is_current AND (replaceable_key = %(key)s OR addressable_key = %(key)s)",
        {"key": key},
    )
    current = await found.fetchone()
    if current is None:
        return True
    # The newest is current; of two in one second the lower identifier, as NIP-01 has it.
    if current[0] == event.event_id or (-current[1], current[0]) < (-event.created_at, event.event_id):
        return False
    await connection.execute("UPDATE cn_relay.events SET is_current = false WHERE event_id = %s", (current[0],))
    return True
