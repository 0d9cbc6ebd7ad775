"""Which generations to keep: a pure function of what there is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from cn_ops.model import Catalogue, Decision, Generation, GenerationState


@dataclass(frozen=True)
class Keep:
    """How many to keep: the newest ``last``, and the newest of as many days, ISO weeks and months (UTC).

    ``suspicious_share`` is how much of its size or rows the newest may lack before nothing is removed.
    """

    last: int
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    suspicious_share: float = 1.0


@dataclass(frozen=True)
class Retention:
    """What is decided for every complete generation, newest first; ``suspicion`` says why nothing is removed."""

    decisions: tuple[Decision, ...]
    suspicion: str | None


def decide(catalogue: Catalogue, keep: Keep) -> Retention:
    """Decide for every complete generation, the newest first; ``keep.last`` must be at least 1.

    Damaged and foreign files are no part of it: they are neither counted nor removed. Generations of another
    database or another cluster are counted for themselves: a folder may be shared, and neither a drill on another
    stack nor a server that was made anew may use up what there is of a real one. Of each the newest proven one is
    always kept, and all are while the newest is suspicious.
    """
    if keep.last < 1:
        raise ValueError(f"keep must be at least 1, got {keep.last}")
    groups: dict[tuple[str, str], list[Generation]] = {}
    for one in catalogue.complete:
        groups.setdefault(_origin(one), []).append(one)
    decided = [_decide_alike(tuple(alike), keep) for alike in groups.values()]
    decisions = {decision.generation.id: decision for one in decided for decision in one.decisions}
    return Retention(
        tuple(decisions[one.id] for one in catalogue.complete),
        next((one.suspicion for one in decided if one.suspicion), None),
    )


def fallen(catalogue: Catalogue, share: float) -> str | None:
    """Return how much the newest generation lacks of what was there before the last fall of size or rows, if it does.

    Told as long as one from before is there: a later generation of the same little is no reason to be silent.
    """
    complete = catalogue.complete
    alike = [one for one in complete if _origin(one) == _origin(complete[0])]
    for after, before in pairwise(alike):
        if _suspicion((after, before), share) and (fall := _suspicion((alike[0], before), share)):
            return fall
    return None


def _origin(generation: Generation) -> tuple[str, str]:
    """Return the database that a generation is of, and its cluster."""
    manifest = generation.manifest
    return (manifest.database, manifest.system_identifier) if manifest else ("", "")


def _decide_alike(complete: tuple[Generation, ...], keep: Keep) -> Retention:
    """Decide for the generations of one database in one cluster."""
    reasons: dict[str, str] = {}
    # A fall is told once, of the first generation after it: what was before must outlast the next ones as well.
    for after, before in pairwise(complete):
        if _suspicion((after, before), keep.suspicious_share):
            reasons[before.id] = "the last before the size or the rows fell, until `inv prune --trust`"
    for one in [one for one in complete if one.state is GenerationState.PROVEN][:1]:
        reasons[one.id] = "the newest proven"
    for name, count, period in (
        ("month", keep.monthly, lambda at: (at.year, at.month)),
        ("week", keep.weekly, lambda at: at.isocalendar()[:2]),
        ("day", keep.daily, lambda at: at.date()),
    ):
        reasons |= {one.id: f"the newest of its {name}" for one in _newest_of(complete, count, period)}
    reasons |= {
        one.id: f"number {place} of {keep.last} to keep" for place, one in enumerate(complete[: keep.last], 1)
    }
    suspicion = _suspicion(complete, keep.suspicious_share)
    return Retention(tuple(_decision(one, reasons.get(one.id), suspicion, keep) for one in complete), suspicion)


def _decision(one: Generation, reason: str | None, suspicion: str | None, keep: Keep) -> Decision:
    if reason is None and suspicion:
        return Decision(one, keep=True, reason="nothing is removed while the newest is suspicious")
    return Decision(
        one, keep=reason is not None, reason=reason or f"not one of the newest {keep.last}, and no rule keeps it"
    )


def _newest_of(
    generations: Iterable[Generation], count: int, period: Callable[[datetime], object]
) -> list[Generation]:
    """Return the newest generation of each of the newest ``count`` periods that have one."""
    newest: dict[object, Generation] = {}
    for one in generations:
        newest.setdefault(period(made_at(one)), one)
    return list(newest.values())[:count]


def made_at(generation: Generation) -> datetime:
    """Return when a generation was made, as its id says."""
    return datetime.strptime(generation.id[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)


def _suspicion(complete: tuple[Generation, ...], share: float) -> str | None:
    if len(complete) < 2 or complete[0].manifest is None or complete[1].manifest is None:
        return None
    newest, before = complete[0].manifest, complete[1].manifest
    for what, now, then in (
        ("size", newest.size_bytes, before.size_bytes),
        ("number of rows", newest.rows, before.rows),
    ):
        if then > 0 and (then - now) / then > share:
            return f"the {what} of {newest.id} is {now}, and that of {before.id} was {then}"
    return None
