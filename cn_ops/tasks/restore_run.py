"""Run `inv restore --finish` and `inv restore --undo`."""

from __future__ import annotations

from cn_ops.beside import databases_beside, drop_beside, newest_previous, require_live
from cn_ops.errors import UNCHANGED
from cn_ops.heal import heal
from cn_ops.names import Beside
from cn_ops.postgres.server_lock import server_lock
from cn_ops.record import on_record
from cn_ops.restore import undo_restore
from cn_ops.restore_plan import HEALED_ONLY, not_unchanged
from cn_ops.tasks.setup import confirmed, locked
from cn_ops.tasks.show import print_json, show


def run_finish(stack: str, *, yes: bool, as_json: bool, dry_run: bool) -> None:
    """Drop what earlier restores left beside the live database."""
    with locked("restore --finish", stack) as operation:
        operation.require_server()
        kept, left = on_record(operation), operation.journal.read()
        if not dry_run:
            heal(operation)
        names = [name for kind in (Beside.PREVIOUS, Beside.INCOMING) for name in databases_beside(operation, kind)]
        if kept and kept.incoming in names:
            names.remove(kept.incoming)
            operation.phases.warn(f"{kept.incoming!r} is kept this time: it may be an only copy, look at it first")
        if names and dry_run:
            require_live(operation)
        if names and not dry_run:
            require_live(operation)
            with not_unchanged(HEALED_ONLY if left else UNCHANGED):
                confirmed(operation, f"dropping {', '.join(names)} destroys what is in there", yes=yes)
            with server_lock(operation.stack, operation.database), operation.phases.phase("drop") as step:
                require_live(operation)  # it may be gone since somebody was asked
                drop_beside(operation, names)
                step.detail = ", ".join(names)
    if as_json:
        print_json({"dry_run": dry_run, "databases": names})
    else:
        done = "would be dropped" if dry_run else "dropped"
        show(f"{done}: {', '.join(names)}" if names else "no earlier restore left a database")


def run_undo(stack: str, *, yes: bool, as_json: bool, dry_run: bool) -> None:
    """Swap the newest database that a restore has kept back in."""
    with locked("restore --undo", stack) as operation:
        operation.require_server()
        back, undone = newest_previous(operation), None  # before a writer is stopped for nothing
        if not dry_run:
            confirmed(operation, f"undoing replaces the database {operation.database!r} by {back!r}", yes=yes)
            back, undone = undo_restore(operation, back)
    if as_json:
        print_json({"dry_run": dry_run, "database": operation.database, "was": back, "undone": undone})
    elif dry_run:
        show(f"{back} would become {operation.database}; nothing was changed")
    else:
        brought = f"; what the restore had brought is {undone}" if undone else ""
        show(f"{back} is {operation.database} again{brought}")
