-- Events as they arrive, the topics they belong to, and the outbox that other services follow.

CREATE TABLE cn_relay.events (
    event_id text PRIMARY KEY,
    pubkey text NOT NULL,
    kind integer NOT NULL,
    created_at bigint NOT NULL,
    tags jsonb NOT NULL,
    content text NOT NULL,
    sig text NOT NULL,
    raw_json jsonb NOT NULL,
    ingested_at timestamptz NOT NULL DEFAULT now(),
    is_deleted boolean NOT NULL DEFAULT false,
    deleted_at timestamptz,
    is_ephemeral boolean NOT NULL DEFAULT false,
    is_current boolean NOT NULL DEFAULT true,
    replaceable_key text,
    addressable_key text,
    expires_at bigint
);

CREATE INDEX events_by_time ON cn_relay.events (created_at, event_id);

-- Of a replaceable or addressable event only one version is current.
CREATE UNIQUE INDEX events_current_replaceable ON cn_relay.events (replaceable_key)
WHERE is_current AND replaceable_key IS NOT NULL;
CREATE UNIQUE INDEX events_current_addressable ON cn_relay.events (addressable_key)
WHERE is_current AND addressable_key IS NOT NULL;

CREATE TABLE cn_relay.event_topics (
    event_id text NOT NULL,
    topic_id text NOT NULL,
    PRIMARY KEY (event_id, topic_id)
);

CREATE INDEX event_topics_by_topic ON cn_relay.event_topics (topic_id);

-- Consumers keep the last seq they have read: a sequence that goes back loses events silently.
CREATE TABLE cn_relay.events_outbox (
    seq bigserial PRIMARY KEY,
    op text NOT NULL CHECK (op IN ('upsert', 'delete')),
    event_id text NOT NULL,
    topic_id text NOT NULL,
    kind integer NOT NULL,
    created_at bigint NOT NULL,
    ingested_at timestamptz NOT NULL,
    effective_key text,
    reason text
);

CREATE TABLE cn_relay.outbox_consumers (
    consumer text PRIMARY KEY,
    last_seq bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE VIEW cn_relay.topic_activity AS
SELECT
    t.topic_id,
    count(*) AS event_count,
    count(DISTINCT e.pubkey) AS author_count,
    max(e.created_at) AS last_created_at
FROM cn_relay.event_topics AS t
JOIN cn_relay.events AS e USING (event_id)
WHERE NOT e.is_deleted
GROUP BY t.topic_id;
