"""Take a database's fingerprint, in one snapshot."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import psycopg

from cn_ops.fingerprint import Fingerprint, LargeObjects, Probe, SequenceState, TableContent
from cn_ops.postgres import contents, objects
from cn_ops.postgres.database import properties, server_version
from cn_ops.postgres.probes import answers, probes_of
from cn_ops.postgres.snapshot import Snapshot, snapshot
from cn_ops.stack import Server

Advanced = Callable[[str], None]


class Fingerprinting:
    """The parts that can be read while a dump of the same snapshot runs, on their own session."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._stopped = threading.Event()
        self.tables: tuple[TableContent, ...] = ()
        self.large_objects = LargeObjects(0, "", "")
        self.sequences: tuple[SequenceState, ...] = ()

    def read_sequences(self) -> None:
        """Read where the sequences stand before a dump begins."""
        contents.pin_text(self._connection)
        self.sequences = contents.sequences(self._connection)

    def read_contents(self, advanced: Advanced) -> None:
        """Hash every table and every large object."""
        found = contents.tables(self._connection)
        read = []
        for number, table in enumerate(found, 1):
            if self._stopped.is_set():
                return
            advanced(f"table {number} of {len(found)}")
            read.append(contents.table_content(self._connection, table))
        self.tables = tuple(sorted(read))
        self.large_objects = contents.large_objects(self._connection)

    def stop(self) -> None:
        """End the reading in another thread."""
        self._stopped.set()
        self._connection.cancel_safe()

    def finish(self, server: Server, database: str, snapshot_id: str, probes: Sequence[Probe] = ()) -> Fingerprint:
        """Read the rest, once the dump has come to its end: where the sequences stand now, and the schema."""
        connection = self._connection
        installed = objects.extensions(connection)
        after = {one.name: one for one in contents.sequences(connection)}
        return Fingerprint(
            server_version=server_version(connection),
            database=properties(connection, database),
            tables=self.tables,
            sequences=tuple(_between(one, after.get(one.name, one)) for one in self.sequences),
            large_objects=self.large_objects,
            materialized_views=contents.materialized_views(connection),
            objects=objects.schema_objects(server, database, snapshot_id),
            extensions=installed,
            roles=objects.roles(connection),
            probes=answers(connection, [*probes, *probes_of(installed, probes)]),
            silenced=objects.silenced(connection),
        )


@contextmanager
def alongside(started: Fingerprinting) -> Iterator[None]:
    """Read the contents while the block runs: a dump of the same snapshot; both must come to their end."""
    with ThreadPoolExecutor(1, thread_name_prefix="fingerprint") as pool:
        reading = pool.submit(started.read_contents, lambda _: None)
        try:
            yield
            reading.result()
        except BaseException:
            # The thread sits in the server's answer: its query is cancelled, so that leaving does not wait for it.
            started.stop()
            raise


def begin(view: Snapshot) -> Fingerprinting:
    """Begin a fingerprint in a snapshot that is open."""
    started = Fingerprinting(view.connection)
    started.read_sequences()
    return started


def take(
    server: Server, database: str, advanced: Advanced = lambda _: None, probes: Sequence[Probe] = ()
) -> Fingerprint:
    """Take the fingerprint of a database as it is now."""
    with snapshot(server, database) as view:
        started = begin(view)
        started.read_contents(advanced)
        return started.finish(server, database, view.id, probes)


def _between(before: SequenceState, after: SequenceState) -> SequenceState:
    return replace(before, last_value_after=after.last_value, is_called_after=after.is_called)
