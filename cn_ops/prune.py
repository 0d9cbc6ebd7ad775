"""Carry out what retention decides."""

from __future__ import annotations

from cn_ops.generations import read_catalogue, remove_generation
from cn_ops.model import Decision
from cn_ops.retention import decide
from cn_ops.settings import BackupSettings


def prune(settings: BackupSettings, *, keep: int, dry_run: bool = False) -> tuple[Decision, ...]:
    """Remove what retention does not keep, the oldest first; the caller holds the folder's lock."""
    decisions = decide(read_catalogue(settings.directory, settings.prefix), keep)
    if not dry_run:
        for decision in reversed(decisions):
            if not decision.keep:
                remove_generation(decision.generation)
    return decisions
