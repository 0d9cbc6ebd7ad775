"""Give the planner its statistics: a dump brings none before PostgreSQL 18."""

from __future__ import annotations

import queue
from concurrent.futures import ThreadPoolExecutor

import psycopg
from psycopg import sql

from cn_ops.jobs import default_jobs
from cn_ops.postgres.session import sibling

# What a plain ANALYZE takes up, the largest first.
_ANALYZED = """
SELECT n.nspname, c.relname, pg_catalog.pg_relation_size(c.oid)
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'p') AND c.relpersistence <> 't'
ORDER BY 3 DESC, 1, 2
"""
# Below, one session is done before a second one is there.
BYTES_PER_SESSION = 32 << 20


def analyze(connection: psycopg.Connection, jobs: int | None = None) -> None:
    """Analyze a database, on at most so many sessions (None: one for each core)."""
    found = connection.execute(_ANALYZED).fetchall()
    sessions = min(jobs or default_jobs(), sum(size for _, _, size in found) // BYTES_PER_SESSION, len(found))
    if sessions < 2:
        connection.execute("ANALYZE")
        return
    todo: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    for schema, name, _ in found:
        todo.put((schema, name))

    def work() -> None:
        with sibling(connection) as another:
            while not todo.empty():
                try:
                    table = todo.get_nowait()
                except queue.Empty:
                    return
                another.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(*table)))

    with ThreadPoolExecutor(sessions, thread_name_prefix="analyze") as pool:
        started = [pool.submit(work) for _ in range(sessions)]
        for one in started:
            one.result()
