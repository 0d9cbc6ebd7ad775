"""Take a database's fingerprint, in one snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TypeVar

import psycopg

from cn_ops.errors import OpsError
from cn_ops.fingerprint import (
    FINGERPRINT_VERSION,
    Fingerprint,
    LargeObjects,
    Probe,
    SchemaObject,
    SequenceState,
    TableContent,
)
from cn_ops.jobs import default_jobs
from cn_ops.postgres import contents, objects
from cn_ops.postgres.database import properties, server_version
from cn_ops.postgres.locks import TablesInUse
from cn_ops.postgres.parallel import Advanced, ContentsReader
from cn_ops.postgres.probes import answers, probes_of
from cn_ops.postgres.session import sibling
from cn_ops.postgres.snapshot import Snapshot, snapshot
from cn_ops.stack import Server

T = TypeVar("T")
ATTEMPTS = 10


class Fingerprinting:
    """The parts that can be read while a dump of the same snapshot runs, on sessions of their own.

    ``values`` is a session outside the snapshot, for what no snapshot holds still.
    """

    def __init__(self, connection: psycopg.Connection, reader: ContentsReader, values: psycopg.Connection) -> None:
        self._connection = connection
        self._contents = reader
        self._values = values
        self._sequences = self._read_sequences()
        self.tables: tuple[TableContent, ...] = ()
        self.large_objects = LargeObjects(0, "", "")

    def read_contents(self, advanced: Advanced) -> None:
        """Hash every table and every large object."""
        self.tables, self.large_objects = self._contents.read(advanced)

    def stop(self) -> None:
        """End the reading in another thread."""
        self._contents.stop()

    def finish(self, database: str, schema: tuple[SchemaObject, ...], probes: Sequence[Probe] = ()) -> Fingerprint:
        """Read the rest, once the dump has come to its end: where the sequences stand now, roles, probes."""
        connection = self._connection
        installed = objects.extensions(connection)
        after = {one.name: one for one in self._read_sequences()}
        found = Fingerprint(
            server_version=server_version(connection),
            database=properties(connection, database),
            tables=self.tables,
            sequences=tuple(_between(one, after.get(one.name, one)) for one in self._sequences),
            large_objects=self.large_objects,
            materialized_views=contents.materialized_views(connection),
            objects=(*schema, *objects.dropped_schemas(connection)),
            extensions=installed,
            roles=objects.roles(connection),
            probes=answers(connection, [*probes, *probes_of(installed, probes)]),
            silenced=objects.silenced(connection),
            fingerprint_version=FINGERPRINT_VERSION,
        )
        self._contents.check()
        return found

    def _read_sequences(self) -> tuple[SequenceState, ...]:
        try:
            return contents.sequences(self._connection, self._values)
        except psycopg.errors.UndefinedTable as error:
            raise TablesInUse(str(error)) from error


@contextmanager
def alongside(started: Fingerprinting) -> Iterator[None]:
    """Read the contents while the block runs: a dump of the same snapshot; both must come to their end."""
    with ThreadPoolExecutor(1, thread_name_prefix="fingerprint") as pool:
        reading = pool.submit(started.read_contents, lambda _: None)
        try:
            yield
            reading.result()
        except BaseException as error:
            failed_first = reading.exception() if reading.done() else None
            # The thread sits in the server's answer: its query is cancelled, so that leaving does not wait for it.
            started.stop()
            if failed_first is not None and isinstance(error, OpsError):
                raise failed_first from None  # a dump whose snapshot has gone with that can only complain about it
            raise


@contextmanager
def begin(view: Snapshot, jobs: int) -> Iterator[Fingerprinting]:
    """Begin a fingerprint in a snapshot that is open, to be read on at most so many sessions.

    From here on every table stays as the snapshot has it, or ``finish`` finds out that one did not. Raises
    ``TablesInUse``.
    """
    contents.pin_text(view.connection)
    reader = ContentsReader(view.connection, view.id, jobs)
    with sibling(view.connection) as values, reader.holding():
        yield Fingerprinting(view.connection, reader, values)


def take(
    server: Server,
    database: str,
    advanced: Advanced = lambda _: None,
    probes: Sequence[Probe] = (),
    jobs: int | None = None,
) -> Fingerprint:
    """Take the fingerprint of a database as it is now, on at most so many sessions (None: one for each core)."""
    return until_quiet(lambda: _taken(server, database, advanced, probes, jobs or default_jobs()))


def until_quiet(take_one: Callable[[], T]) -> T:
    """Try again when tables are truncated or altered just as their readers come together."""
    for _ in range(ATTEMPTS - 1):
        with suppress(TablesInUse):
            return take_one()
    return take_one()


def _taken(server: Server, database: str, advanced: Advanced, probes: Sequence[Probe], jobs: int) -> Fingerprint:
    with snapshot(server, database) as view:
        # It takes locks of its own: before ours, for it must not wait behind somebody who waits for them.
        schema = objects.schema_objects(server, database, view)
        with begin(view, jobs) as started:
            started.read_contents(advanced)
            return started.finish(database, schema, probes)


def _between(before: SequenceState, after: SequenceState) -> SequenceState:
    return replace(before, last_value_after=after.last_value, is_called_after=after.is_called)
