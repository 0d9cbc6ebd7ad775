"""Trouble that comes while a backup or a restore runs: the server is killed, or a disk is full."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

from cn_ops.beside import discard_incoming
from cn_ops.errors import OpsError, VerificationFailed
from cn_ops.generations import read_catalogue
from cn_ops.model import Recreation
from cn_ops.operation import Operation
from cn_ops.postgres.database import size_bytes
from cn_ops.postgres.hold import held, held_up
from cn_ops.postgres.session import maintenance_database, session
from cn_ops.postgres.tablespace import move, tablespace
from cn_ops.small_disk import PAGE, small_disk

# Read by pg_dump, before the first row, and by nothing else of ours.
DUMPED_LATE = "pg_transform"
# Written by whatever makes an object.
WRITTEN_BY_RESTORES = "pg_depend"
SMALL_TABLESPACE = "cn_ops_small_disk"
ROOM_FOR_ROWS = 64 * 1024
PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.01

Said = Callable[[str], None]
# What a restore is to do, and whom it tells how far it has come.
Restoring = tuple[Recreation, Said]


class Assassin:
    """Kills the server as soon as a client tool works in a database, held up there so that it cannot be missed."""

    def __init__(self, operation: Operation, database: str, table: str) -> None:
        self._operation = operation
        self._database = database
        self._table = table
        self._ready = threading.Event()
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._lie_in_wait, name="assassin", daemon=True)
        self.during: str | None = None

    def begin(self) -> None:
        """Wait for a victim from now on."""
        self._thread.start()
        self._ready.wait(PATIENCE_SECONDS)

    def give_up(self) -> None:
        """Kill nobody from now on."""
        self._given_up.set()
        if self._thread.ident is not None:
            self._thread.join(PATIENCE_SECONDS)

    def end(self) -> None:
        """Give up, or be done; raises ``VerificationFailed`` when the server was not killed."""
        self.give_up()
        if self.during is None:
            raise VerificationFailed("the server could not be killed in time: nothing is proven")

    def _lie_in_wait(self) -> None:
        stack, database = self._operation.stack, self._database
        # Its own sessions go down with the server.
        with (
            suppress(OpsError),
            held(stack, database, self._table) as holder,
            session(stack, maintenance_database(database)) as looking,
        ):
            self._ready.set()
            while self.during is None and not self._given_up.wait(LOOK_SECONDS):
                if query := held_up(looking, holder):
                    stack.kill_server()
                    self.during = " ".join(query.split())[:60]
        self._ready.set()


@contextmanager
def _on_duty(assassin: Assassin) -> Iterator[None]:
    """Require that the server was killed in the block, unless the block itself ends early, as with Ctrl-C."""
    try:
        yield
    except BaseException:
        assassin.give_up()
        raise
    assassin.end()


@contextmanager
def server_killed_while_dumping(operation: Operation) -> Iterator[Operation]:
    """Kill the server in the middle of the block's dump."""
    assassin = Assassin(operation, operation.database, DUMPED_LATE)
    assassin.begin()
    with _on_duty(assassin):
        yield operation


@contextmanager
def server_killed_while_restoring(operation: Operation, wanted: Recreation, said: Said) -> Iterator[Restoring]:
    """Kill the server in the middle of the block's restore."""
    assassin = Assassin(operation, wanted.incoming, WRITTEN_BY_RESTORES)

    def listening(what: str) -> None:
        if what == "load":  # the database is there, and nothing is in it
            assassin.begin()
        said(what)

    with _on_duty(assassin):
        yield wanted, listening


@contextmanager
def disk_full_while_dumping(operation: Operation) -> Iterator[Operation]:
    """Let the block back up to a disk that has room for half of it."""
    settings = operation.settings
    backup = settings.backup
    newest = read_catalogue(backup.directory, backup.prefix).complete[:1]
    half = newest[0].manifest.size_bytes // 2 if newest and newest[0].manifest else 0
    # A page for the lock comes first.
    with small_disk(settings.state / "small-disk", PAGE + half) as folder:
        smaller = settings.model_copy(update={"backup": backup.model_copy(update={"directory": folder})})
        yield replace(operation, settings=smaller)


@contextmanager
def disk_full_while_restoring(operation: Operation, wanted: Recreation, said: Said) -> Iterator[Restoring]:
    """Let the block restore to a disk of the server's that has room for an empty database and little more.

    The database is moved there before it is filled; what is on record of it stays what it should be.
    """
    with ExitStack() as undo:
        connection = undo.enter_context(session(operation.stack, maintenance_database(wanted.database)))
        size = size_bytes(connection, "template0") + ROOM_FOR_ROWS
        folder = undo.enter_context(operation.stack.small_disk(size))
        undo.enter_context(tablespace(connection, SMALL_TABLESPACE, folder))

        def listening(what: str) -> None:
            if what == "load":
                move(connection, wanted.incoming, SMALL_TABLESPACE)
            said(what)

        yield wanted, listening
        discard_incoming(operation)  # a database that is still there would keep the disk
