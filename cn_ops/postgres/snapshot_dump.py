"""A dump and a fingerprint of one snapshot, taken at the same time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from cn_ops.fingerprint import Fingerprint, Probe
from cn_ops.postgres.contents import scanning
from cn_ops.postgres.database import count_rows, identity, properties, server_version, size_bytes
from cn_ops.postgres.dump import DumpPlan, dump_database
from cn_ops.postgres.fingerprint import alongside, begin
from cn_ops.postgres.objects import schema_objects
from cn_ops.postgres.snapshot import Snapshot, snapshot
from cn_ops.stack import Server


@dataclass(frozen=True)
class Wanted:
    """What is dumped, how, which table is counted, and what is asked."""

    database: str
    plan: DumpPlan
    counted_table: str
    probes: tuple[Probe, ...]


@dataclass(frozen=True)
class Dumped:
    """What was dumped; ``described`` are the fields of a manifest that the server tells."""

    sha256: str
    size_bytes: int
    counted_rows: int
    fingerprint: Fingerprint
    described: dict[str, Any]


def dump_snapshot(server: Server, wanted: Wanted, target: BinaryIO, advanced: Callable[[int], None]) -> Dumped:
    """Dump what one snapshot sees into an empty file, and take its fingerprint.

    Raises ``TablesInUse`` when that is to be tried again; see ``cn_ops.postgres.fingerprint.until_quiet``.
    """
    database, plan = wanted.database, wanted.plan
    target.seek(0)
    target.truncate()
    with snapshot(server, database) as view:
        # It takes locks of its own: before ours, for it must not wait behind somebody who waits for them.
        schema = schema_objects(server, database, view.id)
        with begin(view, plan.readers) as reading:
            with scanning(view.connection):
                rows = count_rows(view.connection, wanted.counted_table)
            with alongside(reading):
                sha256, size = dump_database(server, database, plan, view.id, target, advanced=advanced)
            fingerprint = reading.finish(database, schema, wanted.probes)
        return Dumped(sha256, size, rows, fingerprint, _described(view, database))


def _described(view: Snapshot, database: str) -> dict[str, Any]:
    who = identity(view.connection, database)
    return {
        "system_identifier": who.system_identifier,
        "database_oid": who.database_oid,
        "server_version": server_version(view.connection),
        "database_size_bytes": size_bytes(view.connection, database),
        "properties": properties(view.connection, database),
    }
