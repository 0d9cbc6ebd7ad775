"""Read a database's contents on several sessions that share one snapshot.

Sums are additive: what several sessions hash, over tables and over parts of large ones, adds up to exactly what one
session would have hashed.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from cn_ops.fingerprint import LargeObjects, TableContent
from cn_ops.postgres import contents
from cn_ops.postgres.contents import Blocks, Sums, Table
from cn_ops.postgres.session import sibling

# 32 MB: enough for one request to be worth its while, few enough that no session is left with much at the end.
PART_BLOCKS = 4096
# A session for fewer blocks than this costs more than it brings.
BLOCKS_PER_SESSION = 1024
# Before, a condition on ctid reads the whole table for each part.
FIRST_WITH_BLOCK_RANGES = 140000

Advanced = Callable[[str], None]


class Stopped(Exception):
    """The reading was ended from outside."""


@dataclass(frozen=True)
class Piece:
    """What one session reads at a time: a table or a part of it, or, without one, all large objects."""

    table: Table | None
    part: Blocks | None
    blocks: int


class ContentsReader:
    """Reads tables and large objects; ``stop`` ends it from another thread."""

    def __init__(self, connection: psycopg.Connection, snapshot: str, jobs: int) -> None:
        self._connection = connection
        self._snapshot = snapshot
        self._jobs = jobs
        self._stopped = threading.Event()
        self._at_work: set[psycopg.Connection] = {connection}
        self._lock = threading.Lock()
        self._large_objects = LargeObjects(0, "", "")
        self._failure: BaseException | None = None

    def stop(self) -> None:
        """End the reading: sessions sit in the server's answers, so their queries are cancelled."""
        self._stopped.set()
        with self._lock:
            for connection in self._at_work:
                connection.cancel_safe()

    def read(self, advanced: Advanced) -> tuple[tuple[TableContent, ...], LargeObjects]:
        """Hash every table and every large object; raises ``Stopped``."""
        tables = contents.tables(self._connection)
        pieces = sorted(self._pieces(tables), key=lambda piece: piece.blocks, reverse=True)
        sums = self._read_all(pieces, advanced)
        read = [self._content(table, sums[table]) for table in tables]
        return tuple(sorted(read)), self._large_objects

    def _pieces(self, tables: Sequence[Table]) -> Iterator[Piece]:
        yield Piece(None, None, contents.large_object_blocks(self._connection))
        in_parts = self._connection.info.server_version >= FIRST_WITH_BLOCK_RANGES
        for table in tables:
            if not in_parts or not table.is_heap or table.condition or table.blocks <= PART_BLOCKS:
                yield Piece(table, None, table.blocks)
                continue
            starts = range(0, table.blocks, PART_BLOCKS)
            for first in starts:
                # The last part has no end: what was written since the size was taken is in none of the others.
                end = None if first == starts[-1] else first + PART_BLOCKS
                yield Piece(table, Blocks(first, end), PART_BLOCKS)

    def _read_all(self, pieces: Sequence[Piece], advanced: Advanced) -> dict[Table, list[Sums | None]]:
        todo: queue.SimpleQueue[Piece] = queue.SimpleQueue()
        for piece in pieces:
            todo.put(piece)
        sums: dict[Table, list[Sums | None]] = {piece.table: [] for piece in pieces if piece.table}
        done = 0

        def work(connection: psycopg.Connection) -> None:
            nonlocal done
            while not self._stopped.is_set():
                try:
                    piece = todo.get_nowait()
                except queue.Empty:
                    return
                found = self._read_piece(connection, piece)
                with self._lock:
                    if piece.table:
                        sums[piece.table].append(found)
                    done += 1
                    advanced(f"part {done} of {len(pieces)}")

        others = min(self._jobs, sum(piece.blocks for piece in pieces) // BLOCKS_PER_SESSION, len(pieces)) - 1
        if others < 1:
            work(self._connection)
        else:
            self._on_sessions(others, work)
        if self._stopped.is_set():
            raise Stopped
        return sums

    def _on_sessions(self, others: int, work: Callable[[psycopg.Connection], None]) -> None:
        """Let sessions work at the same time; the first failure ends all of them, and is raised."""

        def elsewhere() -> None:
            with self._ending_all(), self._another_session() as connection:
                work(connection)

        with ThreadPoolExecutor(others, thread_name_prefix="contents") as pool:
            started = [pool.submit(elsewhere) for _ in range(others)]
            with self._ending_all():
                work(self._connection)
            for one in started:
                one.exception()  # waits; what it was is on record
        if self._failure is not None:
            raise self._failure

    @contextmanager
    def _ending_all(self) -> Iterator[None]:
        """End every session when the block fails; sessions that are cancelled by that are no failure of their own."""
        try:
            yield
        except BaseException as error:
            with self._lock:
                self._failure = self._failure or error
            self.stop()

    @contextmanager
    def _another_session(self) -> Iterator[psycopg.Connection]:
        with sibling(self._connection) as connection:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(self._snapshot))
            contents.pin_text(connection)
            with self._lock:
                self._at_work.add(connection)
            try:
                yield connection
            finally:
                with self._lock:
                    self._at_work.discard(connection)

    def _read_piece(self, connection: psycopg.Connection, piece: Piece) -> Sums | None:
        if piece.table:
            return contents.row_sums(connection, piece.table, piece.part)
        self._large_objects = contents.large_objects(connection)
        return None

    def _content(self, table: Table, parts: Sequence[Sums | None]) -> TableContent:
        """Add up a table's parts; one row that is too wide makes it a matter of columns, all of it."""
        read = [one for one in parts if one is not None]
        if len(read) < len(parts):
            return contents.content(table, contents.column_sums(self._connection, table), "columns")
        return contents.content(table, sum(read, Sums(0, 0, 0)), "rows")
