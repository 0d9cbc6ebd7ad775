"""Which generations to keep: a pure function of what there is."""

from __future__ import annotations

from cn_ops.model import Catalogue, Decision


def decide(catalogue: Catalogue, keep: int) -> tuple[Decision, ...]:
    """Decide for every complete generation, the newest first; ``keep`` must be at least 1.

    Damaged and foreign files are no part of it: they are neither counted nor removed.
    """
    if keep < 1:
        raise ValueError(f"keep must be at least 1, got {keep}")
    return tuple(
        Decision(
            generation,
            keep=position < keep,
            reason=f"number {position + 1} of {keep} to keep" if position < keep else f"older than the {keep} newest",
        )
        for position, generation in enumerate(catalogue.complete)
    )
