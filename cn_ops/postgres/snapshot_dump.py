"""A dump and a fingerprint of one snapshot, taken at the same time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from cn_ops.fingerprint import Fingerprint, Probe
from cn_ops.postgres.contents import scanning
from cn_ops.postgres.database import (
    count_rows,
    identity,
    is_plain_table,
    properties,
    server_version,
    size_bytes,
)
from cn_ops.postgres.dump import DumpPlan, Globals, dump_database, emptied, globals_dumped
from cn_ops.postgres.fingerprint import alongside, begin
from cn_ops.postgres.objects import dumped_schema
from cn_ops.postgres.snapshot import Snapshot, snapshot
from cn_ops.stack import Server


@dataclass(frozen=True)
class Wanted:
    """What is dumped, how, which table is counted, what is asked, and where the roles go, if anywhere."""

    database: str
    plan: DumpPlan
    counted_table: str
    probes: tuple[Probe, ...]
    globals: Globals | None = None


@dataclass(frozen=True)
class Dumped:
    """What was dumped; ``described`` are the fields of a manifest that the server tells."""

    sha256: str
    size_bytes: int
    globals_sha256: str | None
    counted_rows: int
    fingerprint: Fingerprint
    described: dict[str, Any]


def dump_snapshot(server: Server, wanted: Wanted, target: BinaryIO, advanced: Callable[[int], None]) -> Dumped:
    """Dump what one snapshot sees into an empty file, and take its fingerprint.

    Raises ``TablesInUse`` when that is to be tried again; see ``cn_ops.postgres.fingerprint.until_quiet``.
    """
    database, plan = wanted.database, wanted.plan
    emptied(target)
    with snapshot(server, database) as view:
        # It takes locks of its own: before ours, for it must not wait behind somebody who waits for them.
        schema, tool_version = dumped_schema(server, database, view)
        is_plain = is_plain_table(view.connection, wanted.counted_table)
        with begin(view, plan.readers) as reading:
            # The fingerprint counts the rows of tables. Whatever else it is, nothing holds it still for long.
            counted = None if is_plain else _counted(view, wanted)
            # No snapshot holds roles. They are dumped meanwhile, and not before: all that own something are there.
            with globals_dumped(server, wanted.globals) as written:
                with alongside(reading):
                    sha256, size = dump_database(server, database, plan, view, target, advanced=advanced)
                globals_sha256 = written()
            fingerprint = reading.finish(database, schema, wanted.probes)
            if counted is None:
                counted = fingerprint.rows_of(wanted.counted_table)
            if counted is None:  # a name that a fingerprint writes otherwise
                counted = _counted(view, wanted)
        return Dumped(sha256, size, globals_sha256, counted, fingerprint, _described(view, database, tool_version))


def _counted(view: Snapshot, wanted: Wanted) -> int:
    with scanning(view.connection):
        return count_rows(view.connection, wanted.counted_table)


def _described(view: Snapshot, database: str, tool_version: str) -> dict[str, Any]:
    who = identity(view.connection, database)
    return {
        "tool_version": tool_version,
        "system_identifier": who.system_identifier,
        "database_oid": who.database_oid,
        "server_version": server_version(view.connection),
        "database_size_bytes": size_bytes(view.connection, database),
        "properties": properties(view.connection, database),
    }
