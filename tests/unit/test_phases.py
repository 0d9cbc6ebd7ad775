"""Phases are timed, told, remembered; skipped and not run are never a pass."""

from __future__ import annotations

import pytest

from cn_ops.model import Phase, Status
from cn_ops.phases import Phases, Silent, Step, Within


class Heard(Silent):
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def began(self, name: str) -> None:
        self.lines.append(f"began {name}")

    def advanced(self, detail: str) -> None:
        self.lines.append(f"advanced {detail}")

    def ended(self, phase: Phase) -> None:
        self.lines.append(f"ended {phase.name}: {phase.status}")

    def warned(self, message: str) -> None:
        self.lines.append(f"warned {message}")


def test_phase_is_told_as_it_happens_and_timed_with_the_clock() -> None:
    heard, ticks = Heard(), iter([10.0, 12.5])
    phases = Phases(heard, clock=lambda: next(ticks))
    with phases.phase("dump") as step:
        step.advanced_bytes(1_500_000)
        step.detail = "all of it"
    assert phases.done == (Phase("dump", Status.PASSED, 2.5, "all of it"),)
    assert heard.lines == ["began dump", "advanced 1.5 MB", "ended dump: passed"]


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt(), SystemExit(1)])
def test_phase_that_raises_has_failed_and_the_error_goes_on(error: BaseException) -> None:
    phases = Phases(Silent())
    with pytest.raises(type(error)), phases.phase("load"):
        raise error
    assert phases.done[0].status is Status.FAILED
    assert phases.done[0].seconds is not None


def test_skipped_phase_is_no_pass_and_says_why() -> None:
    phases = Phases(Silent())
    with phases.phase("verify") as step:
        step.skip("nothing to compare with")
    assert (phases.done[0].status, phases.done[0].detail) == (Status.SKIPPED, "nothing to compare with")


def test_skipped_phase_that_raises_has_failed() -> None:
    phases = Phases(Silent())

    def skip_and_fail() -> None:
        with phases.phase("verify") as step:
            step.skip("nothing to compare with")
            raise ValueError("late")

    with pytest.raises(ValueError, match="late"):
        skip_and_fail()
    assert phases.done[0].status is Status.FAILED


def test_phases_that_have_not_begun_are_not_run_and_not_timed() -> None:
    phases = Phases(Silent())
    with phases.phase("heal"):
        pass
    with pytest.raises(ValueError, match="broken"), phases.phase("dump"):
        raise ValueError("broken")
    found = [(one.name, one.status, one.seconds is None) for one in phases.all_of(("dump", "read back", "publish"))]
    assert found == [
        ("heal", Status.PASSED, False),
        ("dump", Status.FAILED, False),
        ("read back", Status.NOT_RUN, True),
        ("publish", Status.NOT_RUN, True),
    ]


def test_operation_within_a_phase_is_heard_as_its_progress() -> None:
    heard = Heard()
    inner = Phases(Within(Step(heard)))
    with inner.phase("dump") as step:
        step.advanced("1 MB")
    inner.warn("look")
    assert heard.lines == ["advanced dump", "advanced dump, 1 MB", "warned look"]


def test_warnings_are_remembered_and_told() -> None:
    heard = Heard()
    phases = Phases(heard)
    phases.warn("the server did not run")
    assert phases.warnings == ("the server did not run",)
    assert heard.lines == ["warned the server did not run"]
