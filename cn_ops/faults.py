"""What a drill damages, and only in the very database that it has just backed up."""

from __future__ import annotations

import cn_ops.postgres.database as db
from cn_ops.errors import OperationFailed
from cn_ops.model import Identity
from cn_ops.operation import Operation
from cn_ops.postgres.damage import truncate
from cn_ops.postgres.session import session

TRUNCATED_TABLES = "truncated-tables"
SCENARIOS = (TRUNCATED_TABLES,)


def truncate_tables(operation: Operation, backed_up: Identity) -> int:
    """Empty the tables that the settings name; return the rows left in the counted one, which must be 0.

    Raises ``OperationFailed``, with nothing damaged, when the database is not the one that was backed up.
    """
    settings = operation.settings.drill
    with session(operation.stack, operation.database) as connection:
        found = db.identity(connection, operation.database)
        if found != backed_up:
            raise OperationFailed(
                f"the database {operation.database!r} is not the one that was backed up: it was made anew meanwhile",
                state="nothing was damaged",
                hint="find out who makes databases on this stack, then run the drill again",
            )
        truncate(connection, settings.truncate)
        rows = db.count_rows(connection, settings.count_table)
    if rows != 0:
        raise OperationFailed(
            f"{settings.count_table} still has {rows} rows after the fault",
            hint="drill.truncate must empty drill.count_table, and stack.writers must name every writer",
        )
    return rows
