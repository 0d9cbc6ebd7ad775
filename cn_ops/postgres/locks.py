"""Locks that keep every table as a snapshot sees it until it has been read.

A snapshot alone does not: TRUNCATE and what rewrites a table take effect in it at once. And a second session cannot
be given a lock of its own once somebody waits for an exclusive one behind the first: each would wait for the other,
and the server sees only part of that circle. So every session that reads takes all its locks at the beginning, and
those that come second do not wait. Where there are more tables than can be held (``cn_ops.postgres.parallel``), a
session waits for one only while it holds no other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg
from psycopg import sql

from cn_ops.errors import OperationFailed
from cn_ops.postgres.contents import USER_SCHEMA
from cn_ops.process import ProcessFailed

LOCKED_AT_A_TIME = 500
# How long a session that comes second waits for its locks; the first one waits for what is under way, however long.
SECOND_SECONDS = 2
# What pg_dump says when it was given no lock in time, alone or as one of several, or when the table has gone.
_WITHOUT_LOCKS = re.compile(
    r"canceling statement due to (statement|lock) timeout|could not obtain lock on relation|deadlock detected"
    r"|does not exist[\s\S]*LOCK TABLE"
)
_LOCKED = f"""
SELECT n.nspname, c.relname FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND {USER_SCHEMA} AND (
  pg_catalog.has_table_privilege(c.oid, 'SELECT') OR NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend AS d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.objid = c.oid AND d.objsubid = 0 AND d.deptype = 'e'))
ORDER BY 1, 2
"""  # noqa: S608 - constants only


class TablesInUse(OperationFailed):
    """Somebody truncates, alters or drops a table while its readers come together: to be tried again."""

    def __init__(self, evidence: str) -> None:
        super().__init__(
            "tables are being truncated, altered or dropped all the time, and no moment was found to begin between",
            hint="back up when no migration or other change of the schema runs",
            evidence=evidence,
        )


@contextmanager
def dumping() -> Iterator[None]:
    """Raise ``TablesInUse`` when a pg_dump in the block fails because it could not have its locks."""
    try:
        yield
    except ProcessFailed as error:
        if _WITHOUT_LOCKS.search(error.evidence):
            raise TablesInUse(error.evidence) from error
        raise


def lockable(connection: psycopg.Connection) -> tuple[tuple[str, str], ...]:
    """Return the tables, as schema and name, that a snapshot must keep."""
    return tuple((schema, name) for schema, name in connection.execute(_LOCKED.encode()))


def lock(connection: psycopg.Connection, tables: Sequence[tuple[str, str]], *, second: bool = False) -> None:
    """Keep tables from being truncated, altered or dropped until the session's transaction ends.

    Raises ``TablesInUse`` when one is gone, or when a second session would have to wait.
    """
    wait_at_most(connection, SECOND_SECONDS if second else 0)
    try:
        for first in range(0, len(tables), LOCKED_AT_A_TIME):
            some = tables[first : first + LOCKED_AT_A_TIME]
            names = sql.SQL(", ").join(sql.SQL("ONLY {}").format(sql.Identifier(*one)) for one in some)
            connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(names))
    except (psycopg.errors.UndefinedTable, psycopg.errors.LockNotAvailable) as error:
        raise TablesInUse(str(error)) from error
    wait_at_most(connection, 0)


def wait_at_most(connection: psycopg.Connection, seconds: int) -> None:
    """Say how long the session's transaction waits for a lock; 0 is for ever."""
    connection.execute(f"SET LOCAL lock_timeout = '{seconds}s'".encode())
