"""A writer that keeps writing while a backup runs, until the fault: what it wrote after the snapshot is lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cn_ops.errors import OperationFailed, OpsError
from cn_ops.operation import Operation
from cn_ops.postgres.damage import write_rows
from cn_ops.postgres.session import session

PAUSE_SECONDS = 0.02
PATIENCE_SECONDS = 30.0


class LateWriter:
    """Writes one row after the other in a thread of its own, each in a transaction of its own."""

    def __init__(self, operation: Operation) -> None:
        self._operation = operation
        self._ended = threading.Event()
        self._problem: OpsError | None = None
        self._thread = threading.Thread(target=self._write, name="late-writer", daemon=True)
        self.rows = 0

    def begin(self) -> None:
        """Write from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Write no more rows after the one under way."""
        self._ended.set()

    def end(self) -> None:
        """Stop and wait for that; raises what the writing failed with."""
        self.stop()
        self._thread.join(PATIENCE_SECONDS)
        if self._thread.is_alive():
            raise OperationFailed("the writer that keeps writing does not stop", hint="see `inv stack.logs`")
        if self._problem:
            raise self._problem

    def _write(self) -> None:
        try:
            with session(self._operation.stack, self._operation.database) as connection:
                while not self._ended.wait(PAUSE_SECONDS):
                    self.rows += write_rows(connection, self._operation.settings.drill.count_table, 1)
        except OpsError as error:
            self._problem = error


@contextmanager
def late_writer(operation: Operation, *, wanted: bool) -> Iterator[LateWriter | None]:
    """Let a writer write during the block, or at most until it is told to end."""
    if not wanted:
        yield None
        return
    writer = LateWriter(operation)
    writer.begin()
    try:
        yield writer
    except BaseException:
        writer.stop()  # what went wrong first is what counts
        raise
    writer.end()
