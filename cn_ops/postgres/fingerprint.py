"""Take a database's fingerprint, in one snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

from cn_ops.fingerprint import Fingerprint, LargeObjects, Probe, SequenceState, TableContent
from cn_ops.jobs import default_jobs
from cn_ops.postgres import contents, objects
from cn_ops.postgres.database import properties, server_version
from cn_ops.postgres.parallel import Advanced, ContentsReader
from cn_ops.postgres.probes import answers, probes_of
from cn_ops.postgres.snapshot import Snapshot, snapshot
from cn_ops.stack import Server


class Fingerprinting:
    """The parts that can be read while a dump of the same snapshot runs, on sessions of their own."""

    def __init__(self, view: Snapshot, jobs: int) -> None:
        self._connection = view.connection
        self._contents = ContentsReader(view.connection, view.id, jobs)
        self.tables: tuple[TableContent, ...] = ()
        self.large_objects = LargeObjects(0, "", "")
        self.sequences: tuple[SequenceState, ...] = ()

    def read_sequences(self) -> None:
        """Read where the sequences stand before a dump begins."""
        contents.pin_text(self._connection)
        self.sequences = contents.sequences(self._connection)

    def read_contents(self, advanced: Advanced) -> None:
        """Hash every table and every large object."""
        self.tables, self.large_objects = self._contents.read(advanced)

    def stop(self) -> None:
        """End the reading in another thread."""
        self._contents.stop()

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


def begin(view: Snapshot, jobs: int) -> Fingerprinting:
    """Begin a fingerprint in a snapshot that is open, to be read on at most so many sessions."""
    started = Fingerprinting(view, jobs)
    started.read_sequences()
    return started


def take(
    server: Server,
    database: str,
    advanced: Advanced = lambda _: None,
    probes: Sequence[Probe] = (),
    jobs: int | None = None,
) -> Fingerprint:
    """Take the fingerprint of a database as it is now, on at most so many sessions (None: one for each core)."""
    with snapshot(server, database) as view:
        started = begin(view, jobs or default_jobs())
        started.read_contents(advanced)
        return started.finish(server, database, view.id, probes)


def _between(before: SequenceState, after: SequenceState) -> SequenceState:
    return replace(before, last_value_after=after.last_value, is_called_after=after.is_called)
