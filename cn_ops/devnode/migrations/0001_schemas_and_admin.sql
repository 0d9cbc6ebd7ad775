-- The node's schemas, and what its operator keeps: configuration, accounts, secrets, an audit trail.
-- cn_admin and its schema_migrations exist already: `cn migrate` makes them to record this very file.

CREATE SCHEMA cn_bootstrap;
CREATE SCHEMA cn_index;
CREATE SCHEMA cn_moderation;
CREATE SCHEMA cn_relay;
CREATE SCHEMA cn_trust;
CREATE SCHEMA cn_user;

CREATE TABLE cn_admin.service_configs (
    service text PRIMARY KEY,
    version bigint NOT NULL DEFAULT 1 CHECK (version > 0),
    config_json jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL
);

CREATE TABLE cn_admin.admin_users (
    admin_user_id text PRIMARY KEY,
    username text NOT NULL UNIQUE,
    password_hash bytea,
    "role" text NOT NULL DEFAULT 'operator',
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE cn_admin.admin_sessions (
    session_id text PRIMARY KEY,
    admin_user_id text NOT NULL REFERENCES cn_admin.admin_users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);

CREATE TABLE cn_admin.node_secrets (
    secret_name text PRIMARY KEY,
    secret_value bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE cn_admin.audit_logs (
    audit_id bigserial PRIMARY KEY,
    actor text NOT NULL,
    "action" text NOT NULL,
    "target" text NOT NULL,
    diff_json jsonb,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION cn_admin.refuse_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only: % is refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER audit_logs_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON cn_admin.audit_logs
FOR EACH STATEMENT EXECUTE FUNCTION cn_admin.refuse_change();

COMMENT ON TABLE cn_admin.audit_logs IS 'What operators changed; a trigger refuses to change or remove a row.';
