"""Carry out what retention decides."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from cn_ops.generations import read_catalogue, remove_generation, remove_left_behind
from cn_ops.journal import JOURNAL_SUFFIX, Journal
from cn_ops.model import Decision
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


def dumps_on_record(state: Path) -> tuple[Path, ...]:
    """Return the dumps that killed commands were restoring, as the journals in a state folder say."""
    left = [Journal(path).read() for path in sorted(state.glob(f"*{JOURNAL_SUFFIX}"))]
    return tuple(Path(one.recreating.dump) for one in left if one and one.recreating)


def prune(settings: BackupSettings, keep: Keep, *, needed: Collection[Path] = (), dry_run: bool = False) -> Retention:
    """Remove what retention does not keep, the oldest first; the caller holds the folder's lock.

    ``needed`` are dumps that are kept whatever the rules say.
    """
    retention = decide(read_catalogue(settings.directory, settings.prefix), keep)
    resolved = {one.resolve() for one in needed}
    decisions = (_unless_needed(one, resolved) for one in retention.decisions)
    retention = replace(retention, decisions=tuple(decisions))
    if not dry_run:
        remove_left_behind(settings.directory, settings.prefix)
        for decision in reversed(retention.decisions):
            if not decision.keep:
                remove_generation(decision.generation)
    return retention


def _unless_needed(decision: Decision, needed: Collection[Path]) -> Decision:
    if decision.keep or decision.generation.dump.resolve() not in needed:
        return decision
    return replace(decision, keep=True, reason="a restore that was killed is finished from it: `inv heal`")
