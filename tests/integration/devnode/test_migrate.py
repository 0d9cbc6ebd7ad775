"""Migrations on a real server."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from cn_ops.devnode.migrate import Migration, migrate, packaged
from cn_ops.errors import OperationFailed

SCHEMAS = ["cn_admin", "cn_bootstrap", "cn_index", "cn_moderation", "cn_relay", "cn_trust", "cn_user"]


def columns(node: Any, table: str) -> list[tuple[str, str]]:
    schema, name = table.split(".")
    return [
        (str(column), str(kind))
        for column, kind in node.query(
            "SELECT column_name, data_type FROM information_schema.columns"
            f" WHERE table_schema = '{schema}' AND table_name = '{name}' ORDER BY ordinal_position"
        )
    ]


def test_migrating_twice_applies_once(node: Any) -> None:
    assert "5 migrations applied" in node.run("migrate").stderr
    assert "0 migrations applied" in node.run("migrate").stderr
    recorded = node.query("SELECT version, name, sha256 FROM cn_admin.schema_migrations ORDER BY version")
    assert recorded == [(one.version, one.name, one.sha256) for one in packaged()]


def test_two_nodes_that_migrate_at_once_apply_once(node: Any) -> None:
    both = [node.start("migrate") for _ in range(2)]
    results = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], results
    said = sorted(err.strip().splitlines()[-1] for _, err in results)
    assert said == ["cn: 0 migrations applied", "cn: 5 migrations applied"]


def test_changed_migration_is_refused_and_changes_nothing(node: Any) -> None:
    node.ok("migrate")
    changed = [Migration(1, "schemas_and_admin", "DROP SCHEMA cn_relay CASCADE"), *packaged()[1:]]
    with psycopg.connect(node.url) as connection, pytest.raises(OperationFailed, match="was changed"):
        migrate(connection, changed)
    assert node.rows()["cn_relay.events"] == 0


def test_changed_record_makes_the_command_fail_in_one_line(node: Any) -> None:
    node.ok("migrate")
    with psycopg.connect(node.url) as connection:
        connection.execute("UPDATE cn_admin.schema_migrations SET sha256 = 'x' WHERE version = 2")
    refused = node.run("migrate")
    assert refused.returncode == 1
    assert refused.stderr.startswith("cn: error: migration 0002_relay was changed")
    assert refused.stderr.count("\n") == 1


def test_failing_migration_leaves_nothing_behind(node: Any) -> None:
    broken = [*packaged(), Migration(99, "broken", "CREATE TABLE cn_relay.half (); SELECT 1/0")]
    with pytest.raises(psycopg.errors.DivisionByZero), psycopg.connect(node.url) as connection:
        migrate(connection, broken)
    assert node.rows() == {}


def test_every_schema_and_the_documented_columns_are_there(node: Any) -> None:
    node.ok("migrate")
    found = node.query("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'cn\\_%' ORDER BY 1")
    assert [name for (name,) in found] == SCHEMAS
    assert columns(node, "cn_relay.events") == [
        ("event_id", "text"),
        ("pubkey", "text"),
        ("kind", "integer"),
        ("created_at", "bigint"),
        ("tags", "jsonb"),
        ("content", "text"),
        ("sig", "text"),
        ("raw_json", "jsonb"),
        ("ingested_at", "timestamp with time zone"),
        ("is_deleted", "boolean"),
        ("deleted_at", "timestamp with time zone"),
        ("is_ephemeral", "boolean"),
        ("is_current", "boolean"),
        ("replaceable_key", "text"),
        ("addressable_key", "text"),
        ("expires_at", "bigint"),
    ]
    assert [name for name, _ in columns(node, "cn_relay.event_topics")] == ["event_id", "topic_id"]
    outbox = "seq op event_id topic_id kind created_at ingested_at effective_key reason"
    assert [name for name, _ in columns(node, "cn_relay.events_outbox")] == outbox.split()
    assert {"window", "limit"} <= {name for name, _ in columns(node, "cn_user.plan_limits")}
    # event_topics deliberately has no reference to events
    assert (
        node.query(
            "SELECT conname FROM pg_constraint WHERE conrelid = 'cn_relay.event_topics'::regclass AND contype = 'f'"
        )
        == []
    )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE cn_admin.audit_logs SET actor = 'me'",
        "DELETE FROM cn_admin.audit_logs",
        "TRUNCATE cn_admin.audit_logs",
    ],
)
def test_audit_trail_can_only_grow(node: Any, statement: str) -> None:
    node.migrated()
    before = node.rows()["cn_admin.audit_logs"]
    with (
        psycopg.connect(node.url) as connection,
        pytest.raises(psycopg.errors.RestrictViolation, match="append-only"),
    ):
        connection.execute(statement.encode())
    assert before > 0
    assert node.rows()["cn_admin.audit_logs"] == before


def test_configuring_twice_changes_nothing(node: Any) -> None:
    node.migrated()
    before = node.rows()
    assert "0 services configured" in node.run("config", "seed").stderr
    assert node.rows() == before
    assert node.query("SELECT octet_length(secret_value) FROM cn_admin.node_secrets") == [(32,)]


def test_database_that_is_not_there_is_one_line_and_exit_3(node: Any) -> None:
    node.drop()
    try:
        failed = node.run("migrate")
    finally:
        node.maintain("CREATE DATABASE {}", node.name)
    assert failed.returncode == 3
    assert f'database "{node.name}" does not exist' in failed.stderr
    assert failed.stderr.count("\n") == 1


def test_server_that_is_not_there_is_one_line_and_exit_3(node: Any) -> None:
    failed = node.run("e2e", "seed", DATABASE_URL="postgresql://cn:topsecret@127.0.0.1:1/cn")
    assert failed.returncode == 3
    assert failed.stderr.startswith("cn: error: the database cn at 127.0.0.1 cannot be used")
    assert failed.stderr.count("\n") == 1
    assert "topsecret" not in failed.stderr
    assert failed.stdout == ""
