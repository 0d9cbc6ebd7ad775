"""Give the planner its statistics: a dump brings none before PostgreSQL 18."""

from __future__ import annotations

import queue
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager, suppress

import psycopg
from psycopg import sql

from cn_ops.jobs import default_jobs
from cn_ops.postgres.session import explained, session, sibling
from cn_ops.stack import Server

# What a plain ANALYZE takes up, the largest first.
_ANALYZED = """
SELECT n.nspname, c.relname, pg_catalog.pg_relation_size(c.oid)
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'p') AND c.relpersistence <> 't'
ORDER BY 3 DESC, 1, 2
"""
# Below, one session is done before a second one is there.
BYTES_PER_SESSION = 32 << 20


def analyze(server: Server, database: str, jobs: int | None = None) -> list[str]:
    """Analyze a database, on at most so many sessions (None: one for each core).

    Return the tables that could not be, with what the server says: an expression of extended statistics may fail for
    a row, or the server of a foreign partition not answer.
    """
    with session(server, database) as connection:
        return _analyze(connection, jobs)


def _analyze(connection: psycopg.Connection, jobs: int | None) -> list[str]:
    found = connection.execute(_ANALYZED).fetchall()
    sessions = min(jobs or default_jobs(), sum(size for _, _, size in found) // BYTES_PER_SESSION, len(found))
    if sessions < 2:
        return _on_one_session(connection)
    problems: list[str] = []
    todo: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    for schema, name, _ in found:
        todo.put((schema, name))

    def work(another: psycopg.Connection) -> None:
        with suppress(queue.Empty):
            while True:
                problems.extend(_on_one_table(another, *todo.get_nowait()))

    with ExitStack() as held:
        others = [held.enter_context(sibling(connection)) for _ in range(sessions)]
        pool = held.enter_context(ThreadPoolExecutor(sessions, thread_name_prefix="analyze"))
        started = [pool.submit(work, one) for one in others]
        try:
            for done in as_completed(started):
                done.result()
        except BaseException:
            _empty(todo)
            _cancel(others)
            raise
    return sorted(problems)


def _on_one_session(connection: psycopg.Connection) -> list[str]:
    try:
        connection.execute("ANALYZE")
    except psycopg.Error as error:
        _require_session(connection, error)
        # It ended at the first table that cannot be analyzed.
        tables = connection.execute(_ANALYZED).fetchall()
        return sorted(problem for schema, name, _ in tables for problem in _on_one_table(connection, schema, name))
    return []


def _on_one_table(connection: psycopg.Connection, schema: str, name: str) -> list[str]:
    try:
        connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(schema, name)))
    except psycopg.Error as error:
        _require_session(connection, error)
        return [f"{schema}.{name}: {error.diag.message_primary}"]
    return []


def _require_session(connection: psycopg.Connection, error: psycopg.Error) -> None:
    """Raise the error again unless it is about a table: the session goes on, and nobody has cancelled it."""
    if connection.closed or isinstance(error, psycopg.errors.QueryCanceled):
        raise error


def _empty(todo: queue.SimpleQueue[tuple[str, str]]) -> None:
    with suppress(queue.Empty):
        while True:
            todo.get_nowait()


def _cancel(sessions: Iterable[psycopg.Connection]) -> None:
    """Cancel what sessions wait for in their threads, so that leaving does not wait for it."""
    for one in sessions:
        with suppress(psycopg.Error):  # a server that is gone does nothing any more
            one.cancel_safe()


@contextmanager
def analyzing(server: Server, database: str, problems: list[str]) -> Iterator[None]:
    """Analyze a database on one session while the block runs; both must come to their end.

    ``problems`` is given the tables that could not be analyzed, as ``analyze`` returns them.
    """
    with session(server, database) as connection, ThreadPoolExecutor(1, thread_name_prefix="analyze") as pool:

        def work() -> None:
            with explained(connection.info.user, database):
                problems.extend(_on_one_session(connection))

        running = pool.submit(work)
        try:
            yield
            running.result()
        except BaseException:
            _cancel([connection])
            raise
