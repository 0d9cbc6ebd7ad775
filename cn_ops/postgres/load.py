"""Filling a database from a dump."""

from __future__ import annotations

from pathlib import Path

import psycopg

from cn_ops.errors import OperationFailed
from cn_ops.postgres.session import dbname
from cn_ops.stack import Server

# No --clean: the target is empty, and `ALTER DOMAIN … DROP CONSTRAINT IF EXISTS` fails where there is no domain.
RESTORE_FLAGS = ("--exit-on-error", "--no-password")


def load(server: Server, database: str, dump: Path, *, owners: bool, privileges: bool) -> None:
    """Restore a dump into an empty database; raises ``ProcessFailed`` at its first error."""
    _restore(server, database, dump, [], owners=owners, privileges=privileges)


def load_schema(server: Server, database: str, dump: Path, *, owners: bool, privileges: bool) -> None:
    """Restore a dump's schema, without rows, into an empty database."""
    _restore(server, database, dump, ["--schema-only"], owners=owners, privileges=privileges)


def _restore(server: Server, database: str, dump: Path, what: list[str], *, owners: bool, privileges: bool) -> None:
    left_out = [*([] if owners else ["--no-owner"]), *([] if privileges else ["--no-acl"])]
    with dump.open("rb") as stream:
        argv = ["pg_restore", *RESTORE_FLAGS, *left_out, *what, f"--dbname={dbname(database)}"]
        server.tool(argv, stdin=stream)


def run_sql(server: Server, database: str, script: Path) -> None:
    """Run an SQL file in one transaction; raises ``ProcessFailed`` at its first error."""
    with script.open("rb") as stream:
        flags = ["--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", "--no-password"]
        server.tool(["psql", *flags, f"--dbname={dbname(database)}"], stdin=stream)


def run_globals(server: Server, script: Path) -> None:
    """Run a dump of globals; a role that is there already is no error. Raises ``OperationFailed`` for any other."""
    with script.open("rb") as stream:
        argv = ["psql", "--no-psqlrc", "--quiet", "--no-password", "--dbname=postgres"]
        errors = server.tool(argv, stdin=stream).stderr.splitlines()
    problems = [line for line in errors if "ERROR:" in line and "already exists" not in line]
    if problems:
        raise OperationFailed(f"{script.name} cannot be restored", evidence="\n".join(problems))


def analyze(connection: psycopg.Connection) -> None:
    """Give the planner its statistics: a dump brings none before PostgreSQL 18."""
    connection.execute("ANALYZE")


def end_tool_sessions(connection: psycopg.Connection) -> int:
    """End the sessions of client tools that a killed command left behind; return how many there were.

    Only for the one that holds the stack's lock: nobody else runs a tool of ours as this role then.
    """
    rows = connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE application_name LIKE 'cn-ops-%' AND usename = current_user AND pid <> pg_backend_pid()"
    ).fetchall()
    return len(rows)
