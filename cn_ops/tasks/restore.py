"""`inv restore` and `inv heal`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.context import Context

from cn_ops.tasks.guard import command, help_of

if TYPE_CHECKING:
    from cn_ops.restore_plan import Plan


@command(
    help=help_of(
        "stack",
        "json",
        "dry_run",
        "yes",
        dump="latest, latest-proven, random, a generation's id, or the path of a dump",
        strategy="beside (prove it beside the live database, then swap) or recreate (drop the live one first)",
        finish="drop what earlier restores have left beside the live database",
        undo="swap the newest database that a restore has kept back in",
        jobs="how many sessions load, make indexes and compare at the same time (default: restore.jobs)",
        force_version="restore with client tools of a newer major version than the server's",
    ),
)
def restore(
    context: Context,
    dump: str = "",
    strategy: str = "",
    jobs: str = "",
    finish: bool = False,
    undo: bool = False,
    force_version: bool = False,
    stack: str = "",
    yes: bool = False,
    json: bool = False,
    dry_run: bool = False,
) -> None:
    """Restore the live database from a dump; everything is checked before anything is touched.

    The dump is restored beside the live database and compared with its manifest; only what is equal takes the live
    one's name, and the old one stays until --finish. On a stack that is not disposable the database's name has to be
    typed, or --yes.

    For example:
      inv restore --dump=latest --dry-run
      inv restore --dump=20261124-030000
      inv restore --dump=/srv/old/cn.dump --strategy=recreate --yes
      inv restore --undo
    """
    from pathlib import Path

    from cn_ops.errors import UsageError
    from cn_ops.report.documents import restore_document
    from cn_ops.report.terminal import fact_lines, restore_result
    from cn_ops.restore import restore as restore_database
    from cn_ops.restore_plan import look_at_dump, plan_restore, server_up
    from cn_ops.tasks.restore_run import run_finish, run_undo
    from cn_ops.tasks.setup import confirmed, locked, whole_number
    from cn_ops.tasks.show import print_json, show

    if sum((bool(dump), finish, undo)) != 1:
        raise UsageError(
            "say which one: a dump, --finish or --undo",
            state="nothing was changed",
            hint="--dump=latest, --dump=ID or --dump=PATH; `inv backups` lists what there is",
        )
    if finish or undo:
        (run_finish if finish else run_undo)(stack, yes=yes, as_json=json, dry_run=dry_run)
        return
    over: dict[str, tuple[str, object]] = {"restore.strategy": ("--strategy", strategy)} if strategy else {}
    if jobs:
        over["restore.jobs"] = ("--jobs", whole_number("--jobs", jobs, 1))
    with locked("restore", stack, over=over) as operation:
        if dry_run:
            look_at_dump(operation, dump, Path.cwd())
            with server_up(operation) as changed:
                plan = plan_restore(operation, dump, Path.cwd(), force_version=force_version)
            document = _document(plan)
            print_json(document) if json else show(fact_lines(document), f"dry run: the dump is good; {changed}")
            return

        def confirm(plan: Plan) -> None:
            what = f"restoring {plan.source.path.name} replaces the database {operation.database!r} on a stack in use"
            confirmed(operation, what, yes=yes)

        result = restore_database(operation, dump, Path.cwd(), confirm, force_version=force_version)
    print_json(restore_document(result)) if json else show(
        restore_result(result, ours=operation.stack.kind != "server")
    )


@command(help=help_of("stack", "json"))
def heal(context: Context, stack: str = "", json: bool = False) -> None:
    """Finish or undo what a killed command left, as other commands do first; end a killed verification's server.

    For example:
      inv heal
    """
    from cn_ops.heal import end_scratch
    from cn_ops.heal import heal as heal_stack
    from cn_ops.report.summary import phase_documents
    from cn_ops.tasks.setup import locked
    from cn_ops.tasks.show import print_json, show

    with locked("heal", stack) as operation:
        healed = heal_stack(operation)
        phases = operation.phases.done
        said = [phases[-1].detail] if healed else []
        if end_scratch(operation):
            said.append("removed the scratch server of a verification that was killed")
    if json:
        print_json({"healed": bool(said), "phases": phase_documents(phases)})
    else:
        show("; ".join(said) or "nothing to heal")


def _document(plan: Plan) -> dict[str, object]:
    return {
        "dump": str(plan.source.path),
        "generation": plan.source.generation.id if plan.source.generation else None,
        "database": plan.recreation.database,
        "dump_bytes": plan.dump_bytes,
        "database_bytes_now": plan.size_now,
        "free_bytes": plan.free_bytes,
        "incoming": plan.recreation.incoming,
        "writers_to_stop": list(plan.writers),
    }
