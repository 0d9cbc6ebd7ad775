"""Filling a database from a dump."""

from __future__ import annotations

from pathlib import Path

import psycopg

from cn_ops.postgres.session import dbname
from cn_ops.stack import Stack

RESTORE_FLAGS = ("--clean", "--if-exists", "--no-owner", "--no-acl", "--exit-on-error")


def load(stack: Stack, database: str, dump: Path) -> None:
    """Restore a dump into an empty database; raises ``ProcessFailed`` at its first error."""
    with dump.open("rb") as stream:
        stack.tool(["pg_restore", *RESTORE_FLAGS, "--no-password", f"--dbname={dbname(database)}"], stdin=stream)


def analyze(connection: psycopg.Connection) -> None:
    """Give the planner its statistics: a dump brings none before PostgreSQL 18."""
    connection.execute("ANALYZE")


def end_tool_sessions(connection: psycopg.Connection) -> int:
    """End the sessions of client tools that a killed command left behind; return how many there were.

    Only for the one that holds the stack's lock: nobody else runs a tool of ours then.
    """
    rows = connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE application_name LIKE 'cn-ops-%' AND pid <> pg_backend_pid()"
    ).fetchall()
    return len(rows)
