"""`inv stack.up`, `.down`, `.status`, `.seed`, `.logs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.context import Context

from cn_ops.tasks.guard import command, help_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cn_ops.phases import Step
    from cn_ops.settings import Settings
    from cn_ops.stack import Stack


@command(help=help_of("stack", "json", build="build the services' images first (compose)"))
def up(context: Context, stack: str = "", build: bool = True, json: bool = False) -> None:
    """Start the server and the services, and wait until they are healthy.

    For example:
      inv stack.up
      inv stack.up --stack=embedded
    """
    from cn_ops.errors import OpsError
    from cn_ops.heal import heal
    from cn_ops.tasks.setup import locked

    with locked("stack.up", stack, check=False) as operation:
        _require_ours(operation.stack)
        operation.stack.preflight()
        heal(operation)
        with operation.phases.phase("up") as step:
            try:
                _bring_up(operation.stack, step, build=build)
            except OpsError as error:
                raise error.with_state(_running_now(operation.stack)) from error
    _show_status(operation.settings, operation.stack, as_json=json, disposable=operation.disposable)


@command(help=help_of("stack", "json", "dry_run", "yes", volumes="remove the data too"))
def down(
    context: Context,
    stack: str = "",
    volumes: bool = False,
    yes: bool = False,
    json: bool = False,
    dry_run: bool = False,
) -> None:
    """End the services and the server; the data stays unless --volumes is given.

    For example:
      inv stack.down
      inv stack.down --volumes
    """
    from cn_ops.tasks.setup import confirmed, locked
    from cn_ops.tasks.show import print_json, show

    with locked("stack.down", stack, check=False) as operation:
        _require_ours(operation.stack)
        operation.stack.preflight()
        running = operation.stack.running()
        left = operation.journal.read()  # one that cannot be understood ends this before anything is removed
        if not dry_run:
            if volumes:
                confirmed(operation, "removing the volumes destroys the database", yes=yes)
            with operation.phases.phase("down") as step:
                operation.stack.down(volumes=volumes)
                step.detail = "data removed" if volumes else "data kept"
            if left:
                # What ran is gone on purpose; a database that was not whole is only gone with its volume.
                damaged = {} if volumes else {"recreating": left.recreating}
                operation.intend(
                    **{"stopped": (), "started": (), "started_stack": False, "recreating": None, **damaged}
                )
    if json:
        print_json({"stopped": list(running), "volumes_removed": volumes and not dry_run, "dry_run": dry_run})
    elif dry_run:
        show(f"would stop: {', '.join(running) or 'nothing'}; the data would be {'removed' if volumes else 'kept'}")


@command(reads=True, help=help_of("stack", "json"))
def status(context: Context, stack: str = "", json: bool = False) -> None:
    """Show the services, and whether a killed command left something to heal.

    For example:
      inv stack.status
    """
    from cn_ops.tasks.setup import prepared

    with prepared(stack) as ready:
        choice = ready.choose()
        _show_status(ready.loaded.settings, choice.stack, as_json=json, disposable=choice.disposable)


@command(
    help=help_of(
        "stack", "json", events="how many, at least 9 (default: the seed's own nine)", invite="make an invite as well"
    ),
)
def seed(
    context: Context, stack: str = "", events: str | None = None, invite: bool = False, json: bool = False
) -> None:
    """Put the node's seed into a running, disposable stack.

    For example:
      inv stack.seed
      inv stack.seed --events=100000
    """
    from cn_ops.drill_phases import require_disposable
    from cn_ops.seed import run_invite, run_seed
    from cn_ops.tasks.setup import locked, whole_number
    from cn_ops.tasks.show import print_json, show

    count = whole_number("--events", events, 9)
    with locked("stack.seed", stack) as operation:
        require_disposable(operation, "a seed is no real data")
        operation.require_server()
        with operation.phases.phase("seed"):
            seeded = run_seed(operation, count)
            invited = run_invite(operation) if invite else None
    if json:
        print_json({"seed": seeded.document if seeded else None, "invite": invited})
    else:
        show(_seeded(seeded.document) if seeded else "no seed command is set", *([invited] if invited else []))


@command(reads=True, help=help_of("stack", "json", lines="how many lines of each service"))
def logs(context: Context, stack: str = "", lines: str = "100", json: bool = False) -> None:
    """Show the last lines that the services logged.

    For example:
      inv stack.logs
      inv stack.logs --lines=1000
    """
    from cn_ops.masking import mask
    from cn_ops.tasks.setup import prepared, whole_number
    from cn_ops.tasks.show import print_json, write

    count = whole_number("--lines", lines, 1) or 1
    with prepared(stack) as ready:
        text = mask(ready.choose().stack.logs(count))
    print_json({"logs": text.splitlines()}) if json else write(text)


def _require_ours(stack: Stack) -> None:
    """Refuse, in the stack's own words, a server that cn-ops did not start and so does not end."""
    if stack.kind == "server":
        stack.down(volumes=False)


def _seeded(document: dict[str, object]) -> RenderableType:
    """Return what the seed made; of a list, which may have a million entries, only how many."""
    from cn_ops.report.terminal import fact_lines

    return fact_lines({name: len(one) if isinstance(one, list) else one for name, one in document.items()})


def _bring_up(stack: Stack, step: Step, *, build: bool) -> None:
    if build:
        step.advanced("build images")
        stack.build()
    step.advanced("start the server")
    stack.start_postgres()
    step.advanced("start the services")
    stack.up(stack.writers)
    step.detail = stack.base_url


def _running_now(stack: Stack) -> str:
    from cn_ops.errors import OpsError

    try:
        return f"running: {', '.join(stack.running()) or 'nothing'}; the data is as it was"
    except OpsError:
        return "it is not known what runs"


def _show_status(settings: Settings, stack: Stack, *, as_json: bool, disposable: bool) -> None:
    from cn_ops.model import StackStatus
    from cn_ops.report.documents import stack_document
    from cn_ops.report.terminal import stack_table
    from cn_ops.tasks.show import print_json, show

    found = StackStatus(stack.kind, stack.name, disposable, stack.base_url, stack.status())
    unfinished, heals = _unfinished(settings, stack)
    print_json(stack_document(found, unfinished)) if as_json else show(stack_table(found, unfinished, heals))


def _unfinished(settings: Settings, stack: Stack) -> tuple[str | None, str]:
    """Return what is on record, if anything, and what becomes of it."""
    from cn_ops.errors import OperationFailed
    from cn_ops.files import lock_holder
    from cn_ops.journal import Journal
    from cn_ops.operation import journal_path, lock_path

    try:
        left = Journal(journal_path(settings, stack)).read()
    except OperationFailed as error:
        return error.message, "set right by hand what runs, then remove that file"
    if left is None:
        return None, ""
    holder = lock_holder(lock_path(settings, stack))
    at_work = f"`{holder.operation}` (process {holder.pid}) is at work" if holder else ""
    heals = at_work or "`inv heal` finishes or undoes it"
    return f"{left.operation} (process {left.pid})", heals
