"""Drills that are killed with SIGKILL before one of their phases, each in a process of its own.

`python -m cn_ops.tasks.killed_drill PHASE STACK yes|no` is such a process; it reads the settings as `inv` does.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import UTC, datetime

from cn_ops import process
from cn_ops.drill import DRILL_PHASES, drill
from cn_ops.drill_phases import DrillOptions, require_disposable
from cn_ops.errors import VerificationFailed
from cn_ops.faults import SCENARIOS, TRUNCATED_TABLES
from cn_ops.logs import log_to
from cn_ops.model import Phase
from cn_ops.names import new_id
from cn_ops.operation import operation
from cn_ops.phases import Listener, Phases
from cn_ops.tasks.setup import prepared

YES, NO = "yes", "no"


class Deadly:
    """Hears of phases, and kills this process when a certain one begins."""

    def __init__(self, listener: Listener, phase: str) -> None:
        self._listener = listener
        self._phase = phase

    def began(self, name: str) -> None:
        """Kill this process, or hand it on."""
        if name == self._phase:
            os.kill(os.getpid(), signal.SIGKILL)
        self._listener.began(name)

    def advanced(self, detail: str) -> None:
        """Hand it on."""
        self._listener.advanced(detail)

    def ended(self, phase: Phase) -> None:
        """Hand it on."""
        self._listener.ended(phase)

    def warned(self, message: str) -> None:
        """Hand it on."""
        self._listener.warned(message)


def kill_before_each_phase(stack: str, options: DrillOptions) -> None:
    """Start drills and let each be killed before another phase; each heals what the one before it left.

    Raises ``VerificationFailed`` for one that did not get as far as its phase. The last one's leavings stay.
    """
    with prepared(stack) as ready:
        for phase in DRILL_PHASES:
            argv = [sys.executable, "-m", __spec__.name, phase, stack, YES if options.build else NO]
            ended = process.run(argv, check=False)
            if ended.exit_code != -signal.SIGKILL:
                raise VerificationFailed(
                    f"the drill that was to be killed before {phase!r} ended early, with code {ended.exit_code}",
                    state="it has healed what the one before it left, or failed at that: see the evidence",
                    hint="`inv heal`, then look at the log of that drill",
                    evidence=ended.evidence,
                )
            ready.progress.said(f"a drill was killed before the phase {phase!r}")


def main(phase: str, stack: str, build: str) -> None:
    """Drill until the phase begins."""
    with prepared(stack) as ready:
        settings = ready.loaded.settings
        now = datetime.now(UTC)
        log = settings.drill.logs / f"{new_id(now)}-killed-before-{phase.replace(' ', '-')}.log"
        phases = Phases(Deadly(ready.progress, phase))
        with operation("drill", settings, ready.choose(), phases) as held, log_to(log):
            require_disposable(held)
            report = drill(held, SCENARIOS[TRUNCATED_TABLES], DrillOptions(build=build == YES), now, log)
    sys.exit(f"the phase {phase!r} did not begin: {report.error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
