"""Errors that people see: what failed, the evidence, the state now, and the way out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

MEND = "mend the cause, then "
RUN_AGAIN = f"{MEND}run it again"
UNCHANGED = "nothing was changed"


class ExitCode(IntEnum):
    """What a command's exit status means; documented in docs/reference/exit-codes.md."""

    OK = 0
    FAILED = 1
    USAGE = 2
    MISSING = 3
    NOT_EQUAL = 4
    LOCKED = 5
    TIMED_OUT = 6
    INTERRUPTED = 130


EXIT_MEANINGS: dict[ExitCode, str] = {
    ExitCode.OK: "ok",
    ExitCode.FAILED: "the operation failed",
    ExitCode.USAGE: "bad usage or bad settings",
    ExitCode.MISSING: "something needed is missing: a tool, a daemon, a server, disk space",
    ExitCode.NOT_EQUAL: "verification failed: not recovered, not equal, or a damaged dump",
    ExitCode.LOCKED: "another operation holds the lock",
    ExitCode.TIMED_OUT: "timed out",
    ExitCode.INTERRUPTED: "interrupted",
}


class OpsError(Exception):
    """An error with everything its reader needs.

    ``message`` names the thing and what is wrong with it, ``state`` says what everything is in now,
    ``hint`` says what to do, ``evidence`` holds the last lines of a tool's own output.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str = "", state: str = "", evidence: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.state = state
        self.evidence = evidence.strip()

    def with_state(self, state: str) -> OpsError:
        """Say what everything is in now, unless a deeper layer already said it."""
        self.state = self.state or state
        return self

    def with_hint(self, hint: str) -> OpsError:
        """Say what to do, unless a deeper layer already said it."""
        self.hint = self.hint or hint
        return self


class OperationFailed(OpsError):
    """A step did not do what it was asked to."""


class UsageError(OpsError):
    """An option, a setting or an argument cannot be used as given."""

    exit_code = ExitCode.USAGE


class SettingsError(UsageError):
    """The settings are wrong; ``problems`` holds one line for each error, with its path and place."""

    def __init__(self, problems: list[str], *, hint: str = "") -> None:
        count = f"{len(problems)} errors" if len(problems) > 1 else "1 error"
        super().__init__(
            f"settings: {count}\n" + "\n".join(f"  {line}" for line in problems),
            hint=hint or "see docs/reference/settings.md for every setting",
            state="nothing was started or changed",
        )
        self.problems = problems


class MissingError(OpsError):
    """A tool, daemon, server, image or disk space that is needed is not there."""

    exit_code = ExitCode.MISSING


class VerificationFailed(OpsError):
    """What is there is not what must be there."""

    exit_code = ExitCode.NOT_EQUAL


class LockHeld(OpsError):
    """Another operation works on the same resource."""

    exit_code = ExitCode.LOCKED


class TimedOut(OpsError):
    """A deadline passed."""

    exit_code = ExitCode.TIMED_OUT


class Interrupted(OpsError):
    """A person or a supervisor asked to stop."""

    exit_code = ExitCode.INTERRUPTED


@contextmanager
def saying(state: str, hint: str) -> Iterator[None]:
    """Let every error of the block say what everything is in and what to do, unless a deeper layer already did.

    Ctrl-C leaves it as ``Interrupted``, which says so as well.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted("interrupted", state=state, hint=hint.removeprefix(MEND)) from error
    except OpsError as error:
        error.with_state(state).with_hint(hint)
        raise
