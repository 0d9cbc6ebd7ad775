"""What a drill damages, and only in the very database that it has just backed up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cn_ops.postgres.database as db
from cn_ops.errors import OperationFailed
from cn_ops.model import Identity
from cn_ops.operation import Operation
from cn_ops.postgres import alter
from cn_ops.postgres.damage import change_rows, drop_schema, drop_table, migrate_badly, truncate, write_rows
from cn_ops.postgres.session import maintenance_database, session

TRUNCATED_TABLES = "truncated-tables"
LATE_ROWS = 5

# Does the damage and says, for people, what it was.
Damage = Callable[[Operation], str]


@dataclass(frozen=True)
class Scenario:
    """A fault with what must hold after recovery.

    ``rows_after`` is how many rows the fault leaves in the counted table: `zero`, `same` (the damage is seen by
    comparing only) or `gone` (the table, the database or the server is not there to be counted).
    ``break_dump`` damages the newest backup, which must be refused; the one before it is restored then.
    ``late_rows`` are written after the backup, and lost.
    """

    name: str
    summary: str
    damage: Damage
    rows_after: str
    break_dump: Callable[[Path], None] | None = None
    late_rows: int = 0
    loses_cluster: bool = False


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


def write_late_rows(operation: Operation, scenario: Scenario) -> None:
    """Write what a writer writes after the backup."""
    if scenario.late_rows:
        with session(operation.stack, operation.database) as connection:
            write_rows(connection, operation.settings.drill.count_table, scenario.late_rows)


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


_ALL = (
    Scenario(TRUNCATED_TABLES, "tables emptied, as the old drill did it", _truncated, "zero"),
    Scenario("dropped-table", "a table dropped", _table_dropped, "gone"),
    Scenario("dropped-schema", "a schema dropped with everything in it", _schema_dropped, "gone"),
    Scenario("dropped-database", "the database dropped", _database_dropped, "gone"),
    Scenario("changed-rows", "rows silently changed: only comparing sees it", _rows_changed, "same"),
    Scenario("bad-migration", "a column dropped and brought back empty", _migrated_badly, "same"),
    Scenario("lost-volume", "the server lost with its volume and roles", _volume_lost, "gone", loses_cluster=True),
    Scenario(
        "late-writes", "rows written after the backup: lost, and counted", _truncated, "zero", late_rows=LATE_ROWS
    ),
    Scenario("cut-backup", "tables emptied, the newest backup cut off", _truncated, "zero", break_dump=_cut),
    Scenario(
        "flipped-backup", "tables emptied, a bit of the newest backup wrong", _truncated, "zero", break_dump=_flip
    ),
)
SCENARIOS: dict[str, Scenario] = {one.name: one for one in _ALL}
