"""Stopping the writers and starting them again, on record while it lasts."""

from __future__ import annotations

from cn_ops.journal import Intent
from cn_ops.operation import Operation


def stop_writers(operation: Operation) -> tuple[str, ...]:
    """Stop the writers that run; those, and what a killed command left stopped, are on record first."""
    running = operation.stack.running()
    recorded = _left(operation).stopped
    stopped = tuple(name for name in operation.stack.writers if name in running or name in recorded)
    operation.intend(stopped=stopped)
    operation.stack.stop(tuple(name for name in stopped if name in running))
    return stopped


def start_writers(operation: Operation) -> tuple[str, ...]:
    """Start what is on record as stopped, wait until it is healthy, and take it off the record."""
    recorded = _left(operation).stopped
    stopped = tuple(name for name in recorded if name in operation.stack.writers)
    if gone := [name for name in recorded if name not in stopped]:
        operation.phases.warn(f"{', '.join(gone)} was stopped, and is no writer of the settings any more: start it")
    operation.stack.start(stopped)
    operation.intend(stopped=())
    return stopped


def start_unless_recreating(operation: Operation) -> None:
    """Start the writers again after a failure, unless the database is not what they left."""
    if _left(operation).recreating is None:
        start_writers(operation)


def _left(operation: Operation) -> Intent:
    return operation.journal.read() or Intent(operation.name)
