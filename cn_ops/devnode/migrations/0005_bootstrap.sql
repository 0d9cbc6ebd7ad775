-- What the bootstrap service tells newcomers; it rewrites these rows at every refresh.

CREATE TABLE cn_bootstrap.events (
    event_id text PRIMARY KEY,
    kind integer NOT NULL,
    d_tag text NOT NULL,
    topic_id text,
    "role" text,
    event_json jsonb NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    is_active boolean NOT NULL DEFAULT true
);

CREATE UNIQUE INDEX events_active ON cn_bootstrap.events (kind, d_tag) WHERE is_active;

CREATE TABLE cn_bootstrap.peer_hints (
    hint_id bigserial PRIMARY KEY,
    node_id text NOT NULL UNIQUE,
    addresses jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
