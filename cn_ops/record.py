"""What is on record of a database that is being replaced, and what of it is there."""

from __future__ import annotations

import shlex
from contextlib import suppress
from pathlib import Path

import cn_ops.postgres.database as db
from cn_ops.errors import OperationFailed, OpsError
from cn_ops.files import sha256
from cn_ops.model import Recreation
from cn_ops.operation import Operation
from cn_ops.postgres.session import maintenance_database, session


def writers_state(operation: Operation) -> str:
    """Say whether the writers are stopped, where the stack knows of any and can be asked."""
    with suppress(OpsError):
        if writers := operation.stack.writers:
            running = operation.stack.running()
            at_work = [name for name in writers if name in running]
            return f", and {', '.join(at_work)} runs" if at_work else ", and its writers are stopped"
    return ""


def finished(operation: Operation) -> None:
    """Take the database off the record: it is what it should be."""
    operation.intend(recreating=None)


def refuse_writers(operation: Operation, recorded: Recreation) -> None:
    """Raise ``OperationFailed`` when a writer works on a database that is not whole: somebody goes on by hand.

    Where no writer is known, one may have worked on whatever is in it.
    """
    running = operation.stack.running()
    at_work = [name for name in operation.stack.writers if name in running]
    by_name = f"`inv restore --dump={shlex.quote(recorded.dump)}`"
    # What runs beside a server that cn-ops did not start, it only remembers: somebody may have started it by hand.
    known = operation.stack.writers and operation.stack.kind != "server"
    if not known and not operation.disposable and _has_content(operation, recorded.database):
        raise OperationFailed(
            f"an earlier restore of {recorded.database!r} has not ended well, and who writes to it is not known: "
            "somebody may have since",
            state="nothing was changed; that database may be damaged",
            hint=f"look at what is there: {by_name} replaces it; to keep it, remove {operation.journal.path}",
        )
    if at_work:
        raise OperationFailed(
            f"an earlier restore of {recorded.database!r} has not ended well, and {', '.join(at_work)} runs on it",
            state="nothing was changed; that database may be damaged",
            hint=f"stop it (`inv stack.down`), or restore by name: {by_name}",
        )


def is_another_cluster(operation: Operation, recorded: Recreation) -> bool:
    """Whether the server is not the one that the record is about: small oids would be the same by chance."""
    with session(operation.stack, maintenance_database(recorded.database)) as connection:
        return db.system_identifier(connection) != recorded.system_identifier


def speaks_of(operation: Operation, recorded: Recreation) -> bool:
    """Whether the live database, or that there is none, is what the record calls not whole."""
    if is_another_cluster(operation, recorded):
        return False
    if not recorded.damaged and not (recorded.drop_first and recorded.old_oid):
        return False
    there = oid_of(operation, recorded.database)
    if there is None:
        return True
    if there == recorded.old_oid:
        return recorded.damaged or not is_valid(operation, recorded.database)
    # One that somebody has made since, with nothing in it: it is set aside at the swap.
    return there != recorded.new_oid and is_empty(operation, recorded.database)


def is_dump_there(recorded: Recreation) -> bool:
    """Whether the dump on record can still be restored: it can be read, and is the file that was checked."""
    with suppress(OSError):
        return sha256(Path(recorded.dump)) == recorded.sha256
    return False


def has_incoming(operation: Operation, recorded: Recreation) -> bool:
    """Whether what came in is there; another one of that name is somebody else's."""
    there = oid_of(operation, recorded.incoming)
    return there is not None and recorded.new_oid in (None, there)


def may_be_dropped(operation: Operation, recorded: Recreation) -> bool:
    """Whether what came in can be missed: nothing is in it, or the old database is whole, or its dump is there."""
    if recorded.new_oid is None:
        return True
    there = oid_of(operation, recorded.database)
    is_old = there is not None and there == recorded.old_oid and not recorded.damaged
    return (is_old and _has_content(operation, recorded.database)) or is_dump_there(recorded)


def unfinished(operation: Operation) -> Recreation | None:
    """Return the record of a live database that a drill or a killed restore has left not whole, if it is one."""
    recorded = on_record(operation)
    is_about = recorded is not None and recorded.database == operation.database
    return recorded if recorded and is_about and speaks_of(operation, recorded) else None


def refuse_another_s(operation: Operation) -> None:
    """Raise ``OperationFailed`` while another database's restore is on record: this one would take its place."""
    recorded = on_record(operation)
    if recorded and recorded.database != operation.database:
        raise OperationFailed(
            f"an earlier restore of {recorded.database!r} has not ended well, and is still on record",
            state="nothing was changed",
            hint=f"`inv heal` brings that to its end; if it cannot, restore {recorded.database!r} by name, with the "
            f"settings that it had, or remove {operation.journal.path}",
        )


def on_record(operation: Operation) -> Recreation | None:
    """Return what is on record of a database that is being replaced."""
    left = operation.journal.read()
    return left.recreating if left else None


def oid_of(operation: Operation, database: str) -> int | None:
    """Return a database's oid, or None when it is not there."""
    with session(operation.stack, maintenance_database(operation.database)) as connection:
        return db.oid(connection, database)


def is_valid(operation: Operation, database: str) -> bool:
    """Whether a database is there and can be used, and is not what an interrupted drop has left."""
    with session(operation.stack, maintenance_database(operation.database)) as connection:
        return db.is_valid(connection, database)


def _has_content(operation: Operation, database: str) -> bool:
    return is_valid(operation, database) and not is_empty(operation, database)


def is_empty(operation: Operation, database: str) -> bool:
    """Whether a database can be looked into, and has nothing of a user's."""
    with session(operation.stack, maintenance_database(database)) as connection:
        if not (db.is_valid(connection, database) and db.lets_in(connection, database)):
            return False
    with session(operation.stack, database) as connection:
        return db.is_empty(connection)
