"""The node's first configuration: made once, then the operator's."""

from __future__ import annotations

import os

import psycopg
from psycopg.types.json import Jsonb

ACTOR = "cn config seed"

SERVICES: dict[str, dict[str, object]] = {
    "bootstrap": {"descriptor": {"name": "cn-ops demo node", "roles": ["bootstrap", "relay", "index"]}},
    "index": {"enabled": True, "batch_size": 200},
    "moderation": {"enabled": True, "labels": ["spam", "nsfw", "safe"]},
    "relay": {"retention_days": 365, "max_event_bytes": 65536},
    "trust": {"enabled": True, "interval_seconds": 86400},
    "user-api": {"rate_limit": {"enabled": False, "per_minute": 600}},
}
PLANS = (("free", "無料 Free", "0.00"), ("standard", "標準 Standard", "980.00"))
LIMITS = (
    ("free", "events.post", "minute", 60),
    ("free", "index.search", "day", 1000),
    ("standard", "events.post", "minute", 600),
    ("standard", "index.search", "day", 100000),
)


def seed_config(connection: psycopg.Connection) -> int:
    """Insert what is missing and leave what is there; return how many services were configured."""
    made = 0
    for service, config in SERVICES.items():
        made += _insert_service(connection, service, config)
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO cn_user.plans (plan_id, name, monthly_price) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            PLANS,
        )
        cursor.executemany(
            'INSERT INTO cn_user.plan_limits (plan_id, metric, "window", "limit")'
            " VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            LIMITS,
        )
    connection.execute(
        "INSERT INTO cn_admin.admin_users (admin_user_id, username) VALUES ('operator', 'operator')"
        " ON CONFLICT DO NOTHING"
    )
    connection.execute(
        "INSERT INTO cn_admin.node_secrets (secret_name, secret_value) VALUES ('session_key', %s)"
        " ON CONFLICT DO NOTHING",
        (os.urandom(32),),
    )
    return made


def _insert_service(connection: psycopg.Connection, service: str, config: dict[str, object]) -> int:
    made = connection.execute(
        "INSERT INTO cn_admin.service_configs (service, config_json, updated_by) VALUES (%s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        (service, Jsonb(config), ACTOR),
    ).rowcount
    if made:
        connection.execute(
            'INSERT INTO cn_admin.audit_logs (actor, "action", "target", diff_json) VALUES (%s, %s, %s, %s)',
            (ACTOR, "service_config.create", service, Jsonb(config)),
        )
    return made
