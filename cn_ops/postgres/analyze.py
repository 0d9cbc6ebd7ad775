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


def analyze(server: Server, database: str, jobs: int | None = None) -> None:
    """Analyze a database, on at most so many sessions (None: one for each core)."""
    with session(server, database) as connection:
        _analyze(connection, jobs)


def _analyze(connection: psycopg.Connection, jobs: int | None) -> None:
    found = connection.execute(_ANALYZED).fetchall()
    sessions = min(jobs or default_jobs(), sum(size for _, _, size in found) // BYTES_PER_SESSION, len(found))
    if sessions < 2:
        connection.execute("ANALYZE")
        return
    todo: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    for schema, name, _ in found:
        todo.put((schema, name))

    def work(another: psycopg.Connection) -> None:
        with suppress(queue.Empty):
            while True:
                another.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(*todo.get_nowait())))

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
def analyzing(server: Server, database: str) -> Iterator[None]:
    """Analyze a database on one session while the block runs; both must come to their end."""
    with session(server, database) as connection, ThreadPoolExecutor(1, thread_name_prefix="analyze") as pool:

        def work() -> None:
            with explained(connection.info.user, database):
                connection.execute("ANALYZE")

        running = pool.submit(work)
        try:
            yield
            running.result()
        except BaseException:
            _cancel([connection])
            raise
