"""Read a database's contents on several sessions that share one snapshot.

Sums are additive: what several sessions hash, over tables and over parts of large ones, adds up to exactly what one
session would have hashed.
"""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import psycopg
from psycopg import sql

from cn_ops.fingerprint import LargeObjects, TableContent
from cn_ops.postgres import contents
from cn_ops.postgres.contents import Blocks, Sums, Table
from cn_ops.postgres.locks import SECOND_SECONDS, TablesInUse, lock, lockable, wait_at_most
from cn_ops.postgres.session import explained, sibling

# 32 MB: enough for one request to be worth its while, few enough that no session is left with much at the end.
PART_BLOCKS = 4096
# A session for fewer blocks than this costs more than it brings.
BLOCKS_PER_SESSION = 1024
# To ask for a piece, however small, takes about as long as to read so many blocks.
BLOCKS_PER_PIECE = 20
# Before, a condition on ctid reads the whole table for each part.
FIRST_WITH_BLOCK_RANGES = 140000

# Every session holds every table, and so does pg_dump, but the server's table of locks has room for some thousands
# only. Where there are more tables, they are not held but looked at afterwards.
MOST_HELD = 1000
# Between two batches, the locks of what was read are let go.
PIECES_PER_BATCH = 200

# What a session is told of a table that was changed after the snapshot.
CHANGED = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.DeadlockDetected,
)

Advanced = Callable[[str], None]


class Stopped(Exception):
    """The reading was ended from outside."""


@dataclass(frozen=True, slots=True)
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
        self._lock = threading.Lock()
        self._large_objects = LargeObjects(0, "", "")
        self._failure: BaseException | None = None
        self._tables: tuple[Table, ...] = ()
        self._pieces: list[Piece] = []
        self._sessions: list[psycopg.Connection] = []

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Hold every table for the block, in every session that will read: see ``cn_ops.postgres.locks``.

        Where there are too many to be held, only ``check`` says, afterwards, whether they stayed what they were.
        Raises ``TablesInUse``.
        """
        held = lockable(self._connection)
        if len(held) <= MOST_HELD:
            lock(self._connection, held)
            self._sessions.append(self._connection)
        else:
            held = ()
        self._tables = contents.tables(self._connection)
        self.check()
        self._pieces = sorted(self._cut(self._tables), key=lambda piece: piece.blocks, reverse=True)
        with ExitStack() as sessions:
            while len(self._sessions) < self._worthwhile():
                another = sessions.enter_context(self._another_session())
                lock(another, held, second=True)
                if not held:
                    wait_at_most(another, SECOND_SECONDS)
                self._sessions.append(another)
            yield

    def check(self) -> None:
        """Raise ``TablesInUse`` when a table was truncated, rewritten, renamed or dropped after the snapshot."""
        name = contents.replaced(self._connection)
        if name:
            raise TablesInUse(f"table {name} was truncated, rewritten, renamed or dropped after the snapshot")

    def stop(self) -> None:
        """End the reading: sessions sit in the server's answers, so their queries are cancelled."""
        self._stopped.set()
        with self._lock:
            for connection in self._sessions:
                with suppress(psycopg.Error):  # a server that is gone answers nobody any more
                    connection.cancel_safe()

    def read(self, advanced: Advanced) -> tuple[tuple[TableContent, ...], LargeObjects]:
        """Hash every table and every large object; raises ``Stopped``."""
        sums = self._read_all(advanced)
        together: dict[str, list[Table]] = {}
        for table in self._tables:
            together.setdefault(table.counts_as, []).append(table)
        read = [
            contents.content(name, alike, sum((one for table in alike for one in sums[table]), Sums(0, 0, 0)))
            for name, alike in together.items()
        ]
        return tuple(sorted(read)), self._large_objects

    def _worthwhile(self) -> int:
        """Return how many sessions pay."""
        worthwhile = sum(piece.blocks + BLOCKS_PER_PIECE for piece in self._pieces) // BLOCKS_PER_SESSION
        return max(1, min(self._jobs, worthwhile, len(self._pieces)))

    def _cut(self, tables: Sequence[Table]) -> Iterator[Piece]:
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

    def _read_all(self, advanced: Advanced) -> dict[Table, list[Sums]]:
        todo: queue.SimpleQueue[Piece] = queue.SimpleQueue()
        for piece in self._pieces:
            todo.put(piece)
        sums: dict[Table, list[Sums]] = {table: [] for table in self._tables}
        done = itertools.count(1)

        def told() -> None:
            with self._lock:
                advanced(f"part {next(done)} of {len(self._pieces)}")

        def work(connection: psycopg.Connection) -> None:
            while self._read_some(connection, todo, sums, told):
                pass

        self._on_sessions(work)
        if self._stopped.is_set():
            raise Stopped
        return sums

    def _read_some(
        self,
        connection: psycopg.Connection,
        todo: queue.SimpleQueue[Piece],
        sums: Mapping[Table, list[Sums]],
        told: Callable[[], None],
    ) -> bool:
        """Read a batch of pieces; return whether there may be more."""
        piece = None
        try:
            with contents.scanning(connection):
                for piece in self._batch(todo):
                    if piece.table:
                        sums[piece.table].append(_sums(connection, piece.table, piece.part))
                    else:
                        self._large_objects = contents.large_objects(connection)
                    told()
        except psycopg.errors.LockNotAvailable:
            # Whoever has it may wait for what this batch holds, which has been let go now.
            if piece is not None:
                todo.put(piece)
        return not (todo.empty() or self._stopped.is_set())

    def _batch(self, todo: queue.SimpleQueue[Piece]) -> Iterator[Piece]:
        for _ in range(PIECES_PER_BATCH):
            if self._stopped.is_set():
                return
            try:
                yield todo.get_nowait()
            except queue.Empty:
                return

    def _on_sessions(self, work: Callable[[psycopg.Connection], None]) -> None:
        """Let all sessions work at the same time; the first failure ends all of them, and is raised."""
        mine, *others = self._sessions

        def elsewhere(connection: psycopg.Connection) -> None:
            info = connection.info
            with self._ending_all(), explained(info.user, info.dbname):
                work(connection)

        with ThreadPoolExecutor(len(others) or 1, thread_name_prefix="contents") as pool:
            started = [pool.submit(elsewhere, one) for one in others]
            with self._ending_all():
                work(mine)
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
            yield connection


def _sums(connection: psycopg.Connection, table: Table, part: Blocks | None) -> Sums:
    try:
        return contents.row_sums(connection, table, part)
    except CHANGED as error:
        raise TablesInUse(str(error)) from error  # before it was held, or it is not
