"""What stands around every task: errors become messages and exit codes, and a signal becomes Ctrl-C."""

from __future__ import annotations

import functools
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, ParamSpec

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from cn_ops.errors import RUN_AGAIN, UNCHANGED, ExitCode, Interrupted, OperationFailed, OpsError, UsageError

P = ParamSpec("P")
ON_RECORD = "what it changed, if anything, is on record: `inv stack.status` shows it"


def guarded(body: Callable[P, None], *, reads: bool = False) -> Callable[P, None]:
    """Run a task's body so that it ends as docs/reference/exit-codes.md says; one that ``reads`` changes nothing."""

    @functools.wraps(body)
    def run(*arguments: P.args, **options: P.kwargs) -> None:
        as_json = bool(options.get("json", False))
        looks = reads or bool(options.get("dry_run", False))
        try:
            with _terminable():
                _refuse_invokes_dry(arguments)
                body(*arguments, **options)
        except OpsError as error:
            # Whoever knows better has said so already.
            error.with_state(UNCHANGED if looks else ON_RECORD)
            _fail(error.with_hint(RUN_AGAIN), as_json=as_json)
        except KeyboardInterrupt:
            _fail(
                Interrupted(
                    "interrupted",
                    state=UNCHANGED if looks else "what was under way is on record if it changed something",
                    hint="" if looks else "`inv heal`, or the next command, finishes or undoes what was left",
                ),
                as_json=as_json,
            )
        except BrokenPipeError:
            _leave_quietly()
        except Exit:
            raise
        except OSError as error:
            _fail(_refused(error), as_json=as_json)
        except Exception as error:
            _fail(_bug(error), as_json=as_json)

    return run


def _refuse_invokes_dry(arguments: tuple[object, ...]) -> None:
    """Raise ``UsageError`` for Invoke's own way of doing nothing: cn-ops would do it all the same."""
    if arguments and isinstance(arguments[0], Context) and arguments[0].config.run.dry:
        raise UsageError(
            "--dry is an option of Invoke's own, and means nothing to cn-ops",
            state=UNCHANGED,
            hint="use --dry-run, or leave it out",
        )


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM (a supervisor, `docker stop`, systemd) and SIGHUP (a lost terminal) end a task as Ctrl-C does."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    # One that is ignored, as `nohup` has it, stays so.
    signals = [one for one in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) is not signal.SIG_IGN]
    before = {one: signal.signal(one, interrupt) for one in signals}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextmanager
def ending_with(code: int) -> Iterator[None]:
    """End with this code after the block has printed a result; one that cannot be printed hides no other failure."""
    try:
        yield
    except OpsError as error:
        if not code:
            raise
        _print(error)
    except BrokenPipeError:
        if not code:
            raise
    if code:
        raise Exit(code=code)


def _print(error: OpsError) -> None:
    from cn_ops.report.failure import print_failure
    from cn_ops.tasks.show import stderr_console

    print_failure(stderr_console(), error)


def _fail(error: OpsError, *, as_json: bool) -> NoReturn:
    from cn_ops.report.failure import failure_document
    from cn_ops.tasks.show import print_json

    if as_json:
        with suppress(OpsError, OSError):  # where nothing can be printed, the exit code says it
            print_json(failure_document(error))
    _print(error)
    raise Exit(code=int(error.exit_code))


def _refused(error: OSError) -> OpsError:
    """Say what the operating system has refused: a full or failing disk is nobody's bug."""
    from cn_ops.files import refused

    return refused(error).with_state("it failed on the way: see `inv stack.status`")


def _bug(error: Exception) -> OpsError:
    import traceback

    where = "".join(traceback.format_exception(error)[-3:])
    return OperationFailed(
        f"unexpected {type(error).__name__}: {error}", evidence=where, hint="this is a bug: please report it"
    )


def _leave_quietly() -> NoReturn:
    """Whoever read our output has gone: nothing more is to be said."""
    from cn_ops.tasks.show import silence

    if sys.stdout:
        silence(sys.stdout)
    raise Exit(code=int(ExitCode.FAILED))


def command(*, reads: bool = False, **options: Any) -> Callable[[Callable[P, None]], Any]:
    """Make a guarded task, without the one-letter options that Invoke makes up: each task would have others."""

    def made(body: Callable[P, None]) -> Any:
        return task(auto_shortflags=False, **options)(guarded(body, reads=reads))

    return made


Help = dict[str, str]
STACK_HELP = "auto, compose, embedded or server (default: stack.kind of the settings)"
JSON_HELP = "print one JSON document on stdout, and nothing else there"
DRY_RUN_HELP = "check everything and say what would be done; change nothing"
YES_HELP = "do not ask; for stacks that are not disposable"


def help_of(*common: str, **own: str) -> Help:
    """Return a task's help: its own options and the common ones that it has."""
    known: dict[str, Any] = {"stack": STACK_HELP, "json": JSON_HELP, "dry_run": DRY_RUN_HELP, "yes": YES_HELP}
    return {**own, **{name: known[name] for name in common}}
