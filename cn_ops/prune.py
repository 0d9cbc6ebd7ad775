"""Carry out what retention decides."""

from __future__ import annotations

from cn_ops.generations import read_catalogue, remove_generation, remove_left_behind
from cn_ops.retention import Keep, Retention, decide
from cn_ops.settings import BackupSettings


def policy(settings: BackupSettings, *, last: int | None = None, trust: bool = False) -> Keep:
    """Return the rules of the settings; ``trust`` removes also while the newest generation is suspicious."""
    return Keep(
        last=last or settings.generations,
        daily=settings.keep_daily,
        weekly=settings.keep_weekly,
        monthly=settings.keep_monthly,
        suspicious_share=1.0 if trust else settings.suspicious_share,
    )


def prune(settings: BackupSettings, keep: Keep, *, dry_run: bool = False) -> Retention:
    """Remove what retention does not keep, the oldest first; the caller holds the folder's lock."""
    retention = decide(read_catalogue(settings.directory, settings.prefix), keep)
    if not dry_run:
        remove_left_behind(settings.directory, settings.prefix)
        for decision in reversed(retention.decisions):
            if not decision.keep:
                remove_generation(decision.generation)
    return retention
