"""An error for people and for programs: message, evidence, state and the way out, without secrets."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from cn_ops.errors import (
    EXIT_MEANINGS,
    ExitCode,
    Interrupted,
    LockHeld,
    MissingError,
    OperationFailed,
    OpsError,
    SettingsError,
    TimedOut,
    UsageError,
    VerificationFailed,
)
from cn_ops.report.failure import failure_document, print_failure

SECRET = "hunter22-and-more"


def printed(error: OpsError) -> str:
    stream = io.StringIO()
    print_failure(Console(file=stream, width=200), error)
    return stream.getvalue()


def test_failure_says_what_why_what_now_and_what_to_do() -> None:
    error = OperationFailed("it broke", evidence="line 1\nline 2", state="all is well", hint="do it again")
    assert printed(error) == "error: it broke\n  | line 1\n  | line 2\nnow: all is well\ndo: do it again\n"


def test_brackets_of_a_message_are_text_and_no_markup() -> None:
    assert "[red]not a colour[/red]" in printed(OperationFailed("[red]not a colour[/red]", hint="[/]"))


@pytest.mark.parametrize(
    "text", [f"password={SECRET}", f"postgresql://cn:{SECRET}@db/cn", f"ALTER ROLE cn PASSWORD '{SECRET}'"]
)
def test_no_secret_is_printed_or_put_into_json(text: str) -> None:
    error = OperationFailed(text, evidence=text, state=text, hint=text)
    assert SECRET not in printed(error)
    assert SECRET not in str(failure_document(error))


def test_json_holds_the_exit_code() -> None:
    assert failure_document(LockHeld("held"))["error"]["exit_code"] == 5


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (OperationFailed, 1),
        (UsageError, 2),
        (MissingError, 3),
        (VerificationFailed, 4),
        (LockHeld, 5),
        (TimedOut, 6),
        (Interrupted, 130),
    ],
)
def test_each_kind_of_error_has_its_exit_code(kind: type[OpsError], code: int) -> None:
    assert int(kind("x").exit_code) == code
    assert SettingsError(["x"]).exit_code == 2


def test_every_exit_code_has_a_meaning() -> None:
    assert set(EXIT_MEANINGS) == set(ExitCode)
