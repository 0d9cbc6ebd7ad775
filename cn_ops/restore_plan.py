"""What a restore will do, and everything that is checked before anything is touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cn_ops.postgres.database as db
from cn_ops.errors import RUN_AGAIN, UNCHANGED, MissingError, OperationFailed, OpsError, UsageError, saying
from cn_ops.generations import read_catalogue
from cn_ops.model import Recreation
from cn_ops.operation import Operation
from cn_ops.postgres import rights
from cn_ops.postgres.alter import Connection
from cn_ops.postgres.archive import check_file
from cn_ops.postgres.session import maintenance_database, session
from cn_ops.postgres.tools import check_tools
from cn_ops.record import has_incoming, may_be_dropped, on_record
from cn_ops.replacement import check_scripts, plan_recreation
from cn_ops.retention import fallen
from cn_ops.source import CHOSEN, Source, check_source, find_source, foreign_database, passed_over
from cn_ops.text import readable_bytes

HEALED_ONLY = "what an earlier command had left is looked after, and nothing else was changed"


@dataclass(frozen=True)
class Plan:
    """What a restore is about to do, after every check.

    Sizes in bytes, ``size_now`` null for no database, ``free_bytes`` null when it cannot be known, ``freed_bytes``
    what is dropped before the new database is filled; ``dump_stamp`` is that of the file before it was read.
    """

    source: Source
    recreation: Recreation
    dump_stamp: tuple[int, ...]
    dump_bytes: int
    size_now: int | None
    free_bytes: int | None
    freed_bytes: int
    writers: tuple[str, ...]

    def require_unchanged(self) -> None:
        """Raise ``OperationFailed`` when the dump is not the file any more that was checked."""
        if _stamp(self.source.path) != self.dump_stamp:
            raise OperationFailed(
                f"the dump {self.source.path} is gone or has changed since it was checked",
                state=UNCHANGED,
                hint=RUN_AGAIN,
            )


def _stamp(path: Path) -> tuple[int, ...]:
    """Return what changes when a file is replaced or written to; nothing for none."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def plan_restore(operation: Operation, wanted: str, cwd: Path, *, force_version: bool = False) -> Plan:
    """Check the dump, the server, which has to run, and the space. Nothing is touched."""
    with operation.phases.phase("check") as step, saying(UNCHANGED, RUN_AGAIN):
        source = look_at_dump(operation, wanted, cwd)
        if wanted == "latest":
            _warn_of_latest(operation)
        if foreign := foreign_database(source, operation.database):
            operation.phases.warn(foreign)
        _look_at_cluster(operation, source, wanted)
        check_tools(operation.stack, restoring=True, force=force_version)
        check_scripts(operation.settings.restore)
        stamp = _stamp(source.path)
        checked = check_source(operation.stack, source, step.advanced_bytes, database=operation.database)
        recreation = plan_recreation(operation, source, checked.archive.sha256)
        plan = _plan(operation, source, recreation, stamp, checked.archive.size_bytes)
        _check_space(operation, plan)
        step.detail = f"{source.path.name}, {readable_bytes(plan.dump_bytes)}"
        _warn_of_writers(operation, "drop" if recreation.drop_first else "swap")
    if source.manifest is None:
        operation.phases.warn(f"{source.path.name} has no manifest: it can be read, but what was in it is not known")
    return plan


def look_at_dump(operation: Operation, wanted: str, cwd: Path) -> Source:
    """Find the dump that is asked for and look at how it begins, with no server: none is started for a mistyped one.

    Raises what ``find_source`` and ``check_file`` raise.
    """
    with saying(UNCHANGED, RUN_AGAIN):
        source = find_source(operation.settings.backup, wanted, cwd, database=operation.database)
        check_file(source.path)
    return source


@contextmanager
def server_up(operation: Operation) -> Iterator[str]:
    """Have the server run for the block, and leave it up; yield what has changed by that."""
    changed = UNCHANGED
    if operation.server not in operation.stack.running():
        changed = f"the server {operation.server} was started, and nothing else was changed"
        with saying(f"the server {operation.server} was being started; nothing else was changed", RUN_AGAIN):
            operation.start_server()
    with not_unchanged(changed):
        yield changed


@contextmanager
def not_unchanged(changed: str) -> Iterator[None]:
    """Let an error of the block that says that nothing was changed say this instead."""
    try:
        yield
    except OpsError as error:
        error.state = changed if error.state == UNCHANGED else error.state
        raise


def _warn_of_latest(operation: Operation) -> None:
    settings = operation.settings.backup
    catalogue = read_catalogue(settings.directory, settings.prefix).of(operation.database, None)
    for warning in passed_over(catalogue):
        operation.phases.warn(warning)
    if fall := fallen(catalogue, settings.suspicious_share):
        operation.phases.warn(f"{fall}: was something lost before it was backed up? `inv backups` lists older ones")


def _look_at_cluster(operation: Operation, source: Source, wanted: str) -> None:
    """Warn of a generation of another cluster.

    Raises ``UsageError`` where nobody has named it and there are others: a drill on another stack may have made it.
    """
    if source.manifest is None:
        return
    with session(operation.stack, maintenance_database(operation.database)) as connection:
        own = db.system_identifier(connection)
    if source.manifest.system_identifier == own:
        return
    said = f"the generation {source.manifest.id} was made on another cluster than this server's"
    settings = operation.settings.backup
    newest: dict[str, str] = {}
    for one in read_catalogue(settings.directory, settings.prefix).of(operation.database, None).complete:
        if one.manifest:
            newest.setdefault(one.manifest.system_identifier, one.id)
    if wanted in CHOSEN and len(newest) > 1:
        this = f"; the newest of this one: --dump={newest[own]}" if own in newest else ""
        others = ", ".join(f"--dump={one}" for cluster, one in newest.items() if cluster != own)
        raise UsageError(
            said,
            state=UNCHANGED,
            hint=f"name the one that you mean: the newest of each other cluster: {others}{this}",
        )
    operation.phases.warn(f"{said}, as is right where a server was lost and made anew")


def _warn_of_writers(operation: Operation, end: str) -> None:
    """Say what nobody will stop, and whose sessions cannot be ended: better known before than at that end."""
    if not operation.stack.writers:
        operation.phases.warn(
            "no service is stopped, for stack.server.stop and stack.server.start are not set: what is written until "
            f"the {end} goes to the old database, and every session there is ended then"
        )
    with session(operation.stack, maintenance_database(operation.database)) as connection:
        roles = rights.out_of_reach(connection, operation.database)
        if roles:
            operation.phases.warn(
                f"the role {connection.info.user!r} may not end the sessions of {', '.join(roles)}: unless they are "
                f"gone by then, the {end} is refused and nothing is changed"
            )


def _plan(
    operation: Operation, source: Source, recreation: Recreation, stamp: tuple[int, ...], dump_bytes: int
) -> Plan:
    stack = operation.stack
    with session(stack, maintenance_database(operation.database)) as connection:
        rights.require_may_create(connection)
        rights.require_movable(connection, operation.database, dropped=recreation.drop_first)
        size_now = _size(connection, operation.database)
        freed = 0
        # What an earlier try has made goes before the new one comes, and with drop_first the old one.
        left = on_record(operation)
        if left and has_incoming(operation, left) and may_be_dropped(operation, left):
            freed += db.size_bytes(connection, left.incoming)
        if recreation.drop_first and db.oid(connection, operation.database) == recreation.old_oid:
            freed += size_now or 0
    running = stack.running()
    return Plan(
        source=source,
        recreation=recreation,
        dump_stamp=stamp,
        dump_bytes=dump_bytes,
        size_now=size_now,
        free_bytes=stack.free_bytes(),
        freed_bytes=freed,
        writers=tuple(name for name in stack.writers if name in running),
    )


def _size(connection: Connection, database: str) -> int | None:
    return db.size_bytes(connection, database) if db.exists(connection, database) else None


def _check_space(operation: Operation, plan: Plan) -> None:
    manifest = plan.source.manifest
    needed = manifest.database_size_bytes if manifest else plan.dump_bytes
    if plan.free_bytes is None:
        operation.phases.warn(
            f"the free space of the server is not known: the restored database needs {readable_bytes(needed)}"
        )
        return
    there = plan.free_bytes + plan.freed_bytes
    if needed > there:
        smaller = "" if plan.recreation.drop_first else "; --strategy=recreate needs no room for two"
        raise MissingError(
            f"the restored database needs {readable_bytes(needed)}; the server has room for {readable_bytes(there)}",
            state=UNCHANGED,
            hint=f"free some space where the server keeps its data{smaller}",
        )
