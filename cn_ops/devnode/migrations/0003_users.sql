-- Subscribers, what their plan allows, and what they used.

CREATE TABLE cn_user.plans (
    plan_id text PRIMARY KEY,
    "name" text NOT NULL,
    monthly_price numeric(10, 2) NOT NULL DEFAULT 0,
    is_active boolean NOT NULL DEFAULT true
);

CREATE TABLE cn_user.plan_limits (
    plan_id text NOT NULL REFERENCES cn_user.plans ON DELETE CASCADE,
    metric text NOT NULL,
    "window" text NOT NULL,
    "limit" bigint NOT NULL CHECK ("limit" >= 0),
    PRIMARY KEY (plan_id, metric, "window")
);

CREATE TYPE cn_user.account_status AS ENUM ('active', 'suspended', 'deleted');

CREATE TABLE cn_user.subscriber_accounts (
    subscriber_pubkey text PRIMARY KEY,
    status cn_user.account_status NOT NULL DEFAULT 'active',
    note text,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE cn_user.subscriptions (
    subscription_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subscriber_pubkey text NOT NULL REFERENCES cn_user.subscriber_accounts ON DELETE CASCADE,
    plan_id text NOT NULL REFERENCES cn_user.plans,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
);

-- A subscriber has at most one running subscription, and any number of ended ones.
CREATE UNIQUE INDEX subscriptions_running ON cn_user.subscriptions (subscriber_pubkey) WHERE ended_at IS NULL;

CREATE TABLE cn_user.topic_subscriptions (
    subscriber_pubkey text NOT NULL REFERENCES cn_user.subscriber_accounts ON DELETE CASCADE,
    topic_id text NOT NULL,
    "type" text NOT NULL DEFAULT 'public',
    started_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (subscriber_pubkey, topic_id)
);

CREATE TABLE cn_user.invites (
    invite_id text PRIMARY KEY,
    token_sha256 bytea NOT NULL UNIQUE CHECK (octet_length(token_sha256) = 32),
    topic_id text NOT NULL,
    issuer_pubkey text NOT NULL,
    max_uses integer NOT NULL DEFAULT 1 CHECK (max_uses > 0),
    expires_at timestamptz NOT NULL
);

CREATE TABLE cn_user.usage_events (
    usage_id bigserial,
    pubkey text NOT NULL,
    metric text NOT NULL,
    units integer NOT NULL DEFAULT 1,
    used_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (usage_id, used_at)
) PARTITION BY RANGE (used_at);

CREATE TABLE cn_user.usage_events_2025 PARTITION OF cn_user.usage_events
FOR VALUES FROM ('2025-01-01 00:00:00+00') TO ('2026-01-01 00:00:00+00');
CREATE TABLE cn_user.usage_events_2026 PARTITION OF cn_user.usage_events
FOR VALUES FROM ('2026-01-01 00:00:00+00') TO ('2027-01-01 00:00:00+00');
CREATE TABLE cn_user.usage_events_other PARTITION OF cn_user.usage_events DEFAULT;

CREATE INDEX usage_events_by_pubkey ON cn_user.usage_events (pubkey, metric);
