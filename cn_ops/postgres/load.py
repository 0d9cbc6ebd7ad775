"""Filling a database from a dump."""

from __future__ import annotations

from pathlib import Path

import psycopg

from cn_ops.errors import OperationFailed
from cn_ops.postgres.session import dbname, silent_login
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
        target = dbname(database, **silent_login(server, database))
        server.tool(["psql", *flags, f"--dbname={target}"], stdin=stream)


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

    Only for the one that holds the stack's lock: whoever lives on then, such as `inv compare`, changes nothing.
    """
    rows = connection.execute(
        "SELECT pid, split_part(application_name, '-', 3) FROM pg_stat_activity"
        " WHERE application_name ~ '^cn-ops-[0-9]+-' AND usename = current_user AND pid <> pg_backend_pid()"
    ).fetchall()
    left = [pid for pid, maker in rows if not Path(f"/proc/{maker}").exists()]
    for pid in left:
        connection.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
    return len(left)
