"""What a drill damages, and only in the very database that it has just backed up."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import cn_ops.postgres.database as db
from cn_ops.errors import OperationFailed
from cn_ops.model import Identity, Recreation
from cn_ops.operation import Operation
from cn_ops.postgres import alter
from cn_ops.postgres.damage import change_rows, drop_schema, drop_table, migrate_badly, truncate
from cn_ops.postgres.session import maintenance_database, session
from cn_ops.small_disk import why_none
from cn_ops.troubles import (
    Restoring,
    Said,
    disk_full_while_dumping,
    disk_full_while_restoring,
    server_killed_while_dumping,
    server_killed_while_restoring,
)

TRUNCATED_TABLES = "truncated-tables"

# Does the damage and says, for people, what it was.
Damage = Callable[[Operation], str]


@dataclass(frozen=True)
class Scenario:
    """A fault with what must hold after recovery.

    ``rows_after`` is how many rows the fault leaves in the counted table: `zero`, `same` (the damage is seen by
    comparing only) or `gone` (the table, the database or the server is not there to be counted).
    ``break_dump`` damages the newest backup, which must be refused; the one before it is restored then. While
    ``is_written_to``, a writer goes on during the backup and until the fault: some of its rows are lost. In the
    trouble of ``while_dumping`` or ``while_restoring`` a first try must fail and leave everything as it was.
    ``is_killed``: the drill itself is killed before each of its phases. ``why_not`` says why it cannot be tried here.
    """

    name: str
    summary: str
    damage: Damage
    rows_after: str
    break_dump: Callable[[Path], None] | None = None
    is_written_to: bool = False
    loses_cluster: bool = False
    while_dumping: Callable[[Operation], AbstractContextManager[Operation]] | None = None
    while_restoring: Callable[[Operation, Recreation, Said], AbstractContextManager[Restoring]] | None = None
    is_killed: bool = False
    why_not: Callable[[Operation], str] = lambda _: ""


def require_backed_up(operation: Operation, backed_up: Identity) -> None:
    """Raise ``OperationFailed``, with nothing damaged, unless the live database is the one that was backed up."""
    with session(operation.stack, operation.database) as connection:
        found = db.identity(connection, operation.database)
    if found != backed_up:
        raise OperationFailed(
            f"the database {operation.database!r} is not the one that was backed up: it was made anew meanwhile",
            state="nothing was damaged",
            hint="find out who makes databases on this stack, then run the drill again",
        )


def rows_left(operation: Operation, scenario: Scenario, before: int) -> int | None:
    """Count what the fault has left; raises ``OperationFailed`` when it is not what the scenario says.

    Returns None where there is no table to count.
    """
    if scenario.rows_after == "gone":
        return None
    table = operation.settings.drill.count_table
    with session(operation.stack, operation.database) as connection:
        rows = db.count_rows(connection, table)
    if rows != (0 if scenario.rows_after == "zero" else before):
        raise OperationFailed(
            f"{table} has {rows} rows after the fault, and had {before} before",
            hint="drill.truncate must empty drill.count_table, and stack.writers must name every writer",
        )
    return rows


def _truncated(operation: Operation) -> str:
    tables = operation.settings.drill.truncate
    with session(operation.stack, operation.database) as connection:
        truncate(connection, tables)
    return f"truncated {', '.join(tables)}"


def _table_dropped(operation: Operation) -> str:
    table = operation.settings.drill.count_table
    with session(operation.stack, operation.database) as connection:
        drop_table(connection, table)
    return f"dropped {table}"


def _schema_dropped(operation: Operation) -> str:
    schema = operation.settings.drill.count_table.partition(".")[0]
    with session(operation.stack, operation.database) as connection:
        drop_schema(connection, schema)
    return f"dropped schema {schema}"


def _database_dropped(operation: Operation) -> str:
    with session(operation.stack, maintenance_database(operation.database)) as connection:
        alter.drop(connection, operation.database)
    return f"dropped database {operation.database}"


def _rows_changed(operation: Operation) -> str:
    table = operation.settings.drill.count_table
    with session(operation.stack, operation.database) as connection:
        return f"changed {change_rows(connection, table)} in every row of {table}"


def _migrated_badly(operation: Operation) -> str:
    table = operation.settings.drill.count_table
    with session(operation.stack, operation.database) as connection:
        return f"dropped {migrate_badly(connection, table)} of {table} and brought it back empty"


def _volume_lost(operation: Operation) -> str:
    operation.stack.down(volumes=True)
    operation.stack.start_postgres()
    return "lost the server with its volume; a new one is empty"


def _cut(dump: Path) -> None:
    with dump.open("r+b") as stream:
        stream.truncate(dump.stat().st_size * 2 // 3)


def _flip(dump: Path) -> None:
    """Flip one bit in the middle, where the rows are."""
    with dump.open("r+b") as stream:
        stream.seek(dump.stat().st_size // 2)
        (byte,) = stream.read(1)
        stream.seek(-1, 1)
        stream.write(bytes([byte ^ 1]))


def _only_beside(operation: Operation) -> str:
    beside = operation.settings.restore.strategy == "beside"
    return "" if beside else "restore.strategy is not `beside`: nothing is left to fall back to"


def _not_its_own(operation: Operation) -> str:
    return (
        "cn-ops did not start this server, which is not its own to kill or take away: use another --stack"
        if operation.stack.kind == "server"
        else ""
    )


def _no_small_disk(operation: Operation) -> str:
    return _only_beside(operation) or operation.stack.why_no_small_disk()


_ALL = (
    Scenario(TRUNCATED_TABLES, "tables emptied, as the old drill did it", _truncated, "zero"),
    Scenario("dropped-table", "a table dropped", _table_dropped, "gone"),
    Scenario("dropped-schema", "a schema dropped with everything in it", _schema_dropped, "gone"),
    Scenario("dropped-database", "the database dropped", _database_dropped, "gone"),
    Scenario("changed-rows", "rows silently changed: only comparing sees it", _rows_changed, "same"),
    Scenario("bad-migration", "a column dropped and brought back empty", _migrated_badly, "same"),
    Scenario(
        "lost-volume",
        "the server lost with its volume and roles",
        _volume_lost,
        "gone",
        loses_cluster=True,
        why_not=_not_its_own,
    ),
    Scenario(
        "late-writes",
        "a writer that goes on: what it wrote is lost, and counted",
        _truncated,
        "zero",
        is_written_to=True,
    ),
    Scenario("cut-backup", "tables emptied, the newest backup cut off", _truncated, "zero", break_dump=_cut),
    Scenario(
        "flipped-backup", "tables emptied, a bit of the newest backup wrong", _truncated, "zero", break_dump=_flip
    ),
    Scenario(
        "killed-dumping",
        "the server killed in the middle of a backup",
        _truncated,
        "zero",
        while_dumping=server_killed_while_dumping,
        why_not=_not_its_own,
    ),
    Scenario(
        "killed-restoring",
        "the server killed in the middle of a restore",
        _truncated,
        "zero",
        while_restoring=server_killed_while_restoring,
        why_not=lambda operation: _only_beside(operation) or _not_its_own(operation),
    ),
    Scenario(
        "full-dumping",
        "the disk full in the middle of a backup",
        _truncated,
        "zero",
        while_dumping=disk_full_while_dumping,
        why_not=lambda _: why_none(),
    ),
    Scenario(
        "full-restoring",
        "the server's disk full in the middle of a restore",
        _truncated,
        "zero",
        while_restoring=disk_full_while_restoring,
        why_not=_no_small_disk,
    ),
    Scenario("killed-drill", "cn-ops itself killed before each of its phases", _truncated, "zero", is_killed=True),
)
SCENARIOS: dict[str, Scenario] = {one.name: one for one in _ALL}
