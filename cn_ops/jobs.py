"""How many things are done at the same time when nobody has said so."""

from __future__ import annotations

import os

# More seldom pay, and a node that serves while it is backed up wants cores too.
MOST_JOBS = 8


def default_jobs() -> int:
    """Return the cores that this process may use, at most ``MOST_JOBS``."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return min(len(affinity(0)) if affinity else os.cpu_count() or 1, MOST_JOBS)
