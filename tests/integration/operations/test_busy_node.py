"""A node that writes all the time is backed up and proven without a false alarm."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from cn_ops.phases import Phases, Silent
from cn_ops.source import find_source
from cn_ops.verify import verify
from tests.support.nodes import Node, connected
from tests.support.operations import back_up

ROUNDS = 3
SETUP = """
CREATE SCHEMA busy;
CREATE SEQUENCE busy.down INCREMENT -2;
CREATE SEQUENCE busy.cached CACHE 20;
CREATE TABLE busy.counters (id int PRIMARY KEY, n bigint, at timestamptz DEFAULT clock_timestamp());
INSERT INTO busy.counters SELECT generate_series(1, 50), 0;
CREATE TABLE busy.items (id bigserial PRIMARY KEY, body text) PARTITION BY HASH (id);
CREATE TABLE busy.items_0 PARTITION OF busy.items FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE busy.items_1 PARTITION OF busy.items FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE busy.rewritten (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), n int);
INSERT INTO busy.rewritten (n) SELECT generate_series(1, 200);
"""
WORK = (
    "UPDATE busy.counters SET n = n + 1, at = clock_timestamp() WHERE id = {n}",
    "INSERT INTO busy.items (body) SELECT repeat(md5(random()::text), 20) FROM generate_series(1, 5)",
    "DELETE FROM busy.items WHERE id IN (SELECT id FROM busy.items ORDER BY random() LIMIT 3)",
    "SELECT nextval('busy.down'), nextval('busy.cached')",
    # As the bootstrap service does: the same rows, under new ids.
    "WITH gone AS (DELETE FROM busy.rewritten RETURNING n) INSERT INTO busy.rewritten (n) SELECT n FROM gone",
    "SELECT lo_unlink(oid) FROM (SELECT oid FROM pg_largeobject_metadata LIMIT 1) AS o;"
    " SELECT lo_from_bytea(0, convert_to(clock_timestamp()::text, 'UTF8'))",
)
# Now and then, as such things are done: one every few milliseconds would leave a backup no moment to begin.
RARE_WORK = "TRUNCATE busy.rewritten; INSERT INTO busy.rewritten (n) SELECT generate_series(1, 200)"
RARE_SHARE = 0.002


@contextmanager
def load(site: Node, writers: int) -> Iterator[Callable[[], int]]:
    """Write in several sessions for the block; gives how many transactions were made."""
    made = [0] * writers
    stop = threading.Event()

    def write(me: int) -> None:
        chance = random.Random(me)
        with connected(site.stack, site.database) as connection:
            while not stop.is_set():
                try:
                    work = RARE_WORK if chance.random() < RARE_SHARE else chance.choice(WORK)
                    connection.execute(work.format(n=chance.randint(1, 50)).encode())
                    made[me] += 1
                except (
                    psycopg.errors.DeadlockDetected,
                    psycopg.errors.UniqueViolation,
                    psycopg.errors.UndefinedObject,
                ):
                    continue  # as happens on a node; the next try succeeds

    threads = [threading.Thread(target=write, args=(me,)) for me in range(writers)]
    for one in threads:
        one.start()
    try:
        yield lambda: sum(made)
    finally:
        stop.set()
        for one in threads:
            one.join(60)


def backed_up_and_verified(site: Node, rounds: int) -> list[int]:
    """Back up and verify so many times under load; return how many transactions each backup had to live with."""
    seen = []
    with load(site, 3) as count:
        for _ in range(rounds):
            before = count()
            made = back_up(site)
            seen.append(count() - before)
            source = find_source(site.settings.backup, made.generation.id, Path("/"))
            verify(site.stack, source, site.settings.restore, Phases(Silent()))
    return seen


def test_busy_node_gives_no_false_alarm(site: Node) -> None:
    site.rows(SETUP)
    assert min(backed_up_and_verified(site, ROUNDS)) > 0
