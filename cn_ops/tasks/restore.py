"""`inv restore` and `inv heal`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.tasks import task

from cn_ops.tasks.guard import guarded, help_of

if TYPE_CHECKING:
    from cn_ops.restore import Plan


@task(help=help_of("stack", "json", "dry_run", "yes", dump="latest, a generation's id, or the path of a dump"))
@guarded
def restore(
    context: Context, dump: str = "", stack: str = "", yes: bool = False, json: bool = False, dry_run: bool = False
) -> None:
    """Restore the live database from a dump; everything is checked before anything is touched.

    Writers are stopped meanwhile. On a stack that is not disposable the database's name has to be typed, or --yes.

    For example:
      inv restore --dump=latest --dry-run
      inv restore --dump=20261124-030000
      inv restore --dump=/srv/old/cn.dump --yes
    """
    from pathlib import Path

    from cn_ops.errors import UsageError
    from cn_ops.report.documents import restore_document
    from cn_ops.report.terminal import fact_lines, restore_result
    from cn_ops.restore import plan_restore
    from cn_ops.restore import restore as restore_database
    from cn_ops.tasks.setup import confirmed, locked
    from cn_ops.tasks.show import print_json, show

    if not dump:
        raise UsageError(
            "no dump is named",
            state="nothing was changed",
            hint="--dump=latest, --dump=ID or --dump=PATH; `inv backups` lists what there is",
        )
    with locked("restore", stack) as operation:
        if dry_run:
            plan = plan_restore(operation, dump, Path.cwd())
            document = _document(plan)
            print_json(document) if json else show(
                fact_lines(document), "dry run: the dump is good; nothing was changed"
            )
            return

        def confirm(plan: Plan) -> None:
            confirmed(operation, f"restoring replaces the database {operation.database!r} on a stack in use", yes=yes)

        result = restore_database(operation, dump, Path.cwd(), confirm)
    print_json(restore_document(result)) if json else show(restore_result(result))


@task(help=help_of("stack", "json"))
@guarded
def heal(context: Context, stack: str = "", json: bool = False) -> None:
    """Finish or undo what a killed command left, as backup, drill and stack.up do first.

    For example:
      inv heal
    """
    from cn_ops.heal import heal as heal_stack
    from cn_ops.report.summary import phase_documents
    from cn_ops.tasks.setup import locked
    from cn_ops.tasks.show import print_json, show

    with locked("heal", stack) as operation:
        healed = heal_stack(operation)
        phases = operation.phases.done
    if json:
        print_json({"healed": healed, "phases": phase_documents(phases)})
    else:
        show(phases[-1].detail if healed else "nothing to heal")


def _document(plan: Plan) -> dict[str, object]:
    return {
        "dump": str(plan.source.path),
        "generation": plan.source.generation.id if plan.source.generation else None,
        "database": plan.recreation.database,
        "dump_bytes": plan.dump_bytes,
        "database_bytes_now": plan.size_now,
        "free_bytes": plan.free_bytes,
        "expected_rows": plan.recreation.expected_rows,
        "writers_to_stop": list(plan.writers),
    }
