"""Databases that exist for one look only, and are dropped also when their maker was killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg

import cn_ops.postgres.database as db
from cn_ops.model import DatabaseProperties
from cn_ops.names import Beside, beside_pattern, free_names
from cn_ops.postgres import alter
from cn_ops.postgres.session import maintenance_database, session
from cn_ops.stack import Server


@contextmanager
def scratch_database(server: Server, database: str, wanted: DatabaseProperties) -> Iterator[str]:
    """Make an empty database beside ``database`` for the block; what a killed command left is dropped first."""
    with session(server, maintenance_database(database)) as connection:
        drop_left_scratch(connection, database)
        taken = set(db.databases(connection))
        while not _lock(connection, name := _free_name(database, taken)):
            taken.add(name)  # somebody else is about to make it
        alter.create(connection, name, wanted)
        try:
            yield name
        finally:
            alter.drop(connection, name)


def drop_left_scratch(connection: psycopg.Connection, database: str) -> None:
    """Drop scratch databases whose maker is gone: its session would hold their lock."""
    pattern = beside_pattern(database, Beside.SCRATCH)
    for name in db.databases(connection):
        if pattern.fullmatch(name) and _lock(connection, name):
            alter.drop(connection, name)
            connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (name,))


def _free_name(database: str, taken: set[str]) -> str:
    return free_names(database, (Beside.SCRATCH,), datetime.now(UTC), taken)[0]


def _lock(connection: psycopg.Connection, name: str) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (name,)).fetchone()
    return bool(row and row[0])
