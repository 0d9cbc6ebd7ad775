"""What an error tells, and the exit code that it becomes."""

from __future__ import annotations

import pytest

from cn_ops import errors
from cn_ops.errors import EXIT_MEANINGS, ExitCode, OpsError, SettingsError


def kinds() -> list[type[OpsError]]:
    return [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, OpsError)]


def test_exit_codes_are_the_documented_numbers() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0,
        "FAILED": 1,
        "USAGE": 2,
        "MISSING": 3,
        "NOT_EQUAL": 4,
        "LOCKED": 5,
        "TIMED_OUT": 6,
        "INTERRUPTED": 130,
    }


def test_every_exit_code_has_a_meaning() -> None:
    assert set(EXIT_MEANINGS) == set(ExitCode)
    assert len(set(EXIT_MEANINGS.values())) == len(ExitCode)


def test_every_failure_has_an_error_of_its_own() -> None:
    assert {kind.exit_code for kind in kinds()} == set(ExitCode) - {ExitCode.OK}


@pytest.mark.parametrize("kind", [kind for kind in kinds() if kind is not SettingsError])
def test_error_keeps_all_that_its_reader_needs(kind: type[OpsError]) -> None:
    error = kind("the thing is broken", hint="mend it", state="nothing was changed", evidence="\nlast words\n")
    assert str(error) == error.message == "the thing is broken"
    assert (error.hint, error.state, error.evidence) == ("mend it", "nothing was changed", "last words")


def test_deeper_layer_knows_better() -> None:
    deep = OpsError("x", state="half done", hint="wait")
    assert deep.with_state("untouched").with_hint("panic") is deep
    assert (deep.state, deep.hint) == ("half done", "wait")
    shallow = OpsError("x").with_state("untouched").with_hint("wait")
    assert (shallow.state, shallow.hint) == ("untouched", "wait")


def test_settings_error_says_every_problem() -> None:
    error = SettingsError(["backup.generations: must be ≥ 1, got 0", "stack.kind: unknown"])
    assert error.message.splitlines() == [
        "settings: 2 errors",
        "  backup.generations: must be ≥ 1, got 0",
        "  stack.kind: unknown",
    ]
    assert (error.exit_code, error.state) == (ExitCode.USAGE, "nothing was started or changed")
    assert SettingsError(["one"]).message.startswith("settings: 1 error\n")
