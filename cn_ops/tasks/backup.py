"""`inv backup`, `inv backups`, `inv prune`."""

from __future__ import annotations

from invoke.context import Context

from cn_ops.tasks.guard import command, help_of


@command(
    help=help_of(
        "stack",
        "json",
        "dry_run",
        preset="compatible, fast or parallel (default: backup.preset)",
        jobs="how many sessions dump with --preset=parallel; half as many fingerprint meanwhile "
        "(default: the cores, at most 8)",
        compress="pg_dump's --compress, such as zstd:3 (default: the preset's)",
    ),
)
def backup(
    context: Context,
    preset: str = "",
    jobs: str = "",
    compress: str = "",
    stack: str = "",
    json: bool = False,
    dry_run: bool = False,
) -> None:
    """Back the live database up, read the dump back, then prune old generations.

    For example:
      inv backup
      inv backup --dry-run
      inv backup --preset=fast
      inv backup --preset=parallel --jobs=4 --compress=zstd:3
      inv backup --json
    """
    from cn_ops.backup import backup as make_backup
    from cn_ops.backup import plan_backup
    from cn_ops.errors import RUN_AGAIN, saying
    from cn_ops.heal import heal
    from cn_ops.report.documents import backup_document
    from cn_ops.report.terminal import backup_result, fact_lines
    from cn_ops.tasks.setup import locked, whole_number
    from cn_ops.tasks.show import print_json, show

    over: dict[str, tuple[str, object]] = {}
    if preset:
        over["backup.preset"] = ("--preset", preset)
    if jobs:
        over["backup.jobs"] = ("--jobs", whole_number("--jobs", jobs, 1))
    if compress:
        over["backup.compress"] = ("--compress", compress)
    with locked("backup", stack, over=over) as operation:
        if dry_run:
            with saying("nothing was changed", RUN_AGAIN):
                plan = plan_backup(operation)
            print_json(plan) if json else show(fact_lines(plan), "dry run: nothing was written")
            return
        heal(operation)
        result = make_backup(operation)
    print_json(backup_document(result)) if json else show(backup_result(result))


@command(reads=True, help=help_of("json"))
def backups(context: Context, json: bool = False) -> None:
    """List the generations, newest first: id, age, size, duration, state.

    For example:
      inv backups
      inv backups --json
    """
    from cn_ops.generations import read_catalogue
    from cn_ops.report.documents import catalogue_document
    from cn_ops.report.terminal import catalogue_table, utc_now
    from cn_ops.tasks.setup import prepared
    from cn_ops.tasks.show import print_json, show

    with prepared() as ready:
        settings = ready.loaded.settings.backup
        catalogue = read_catalogue(settings.directory, settings.prefix)
    print_json(catalogue_document(catalogue)) if json else show(catalogue_table(catalogue, utc_now()))


@command(
    help=help_of(
        "json",
        "dry_run",
        keep="how many generations to keep (default: backup.generations)",
        trust="prune although the newest generation is suspiciously small",
    ),
)
def prune(
    context: Context, keep: str | None = None, trust: bool = False, json: bool = False, dry_run: bool = False
) -> None:
    """Remove generations beyond those to keep; every decision is shown with its reason.

    Never the newest complete or the newest proven one, and none while the newest lacks much of what the one
    before it had.

    For example:
      inv prune --dry-run
      inv prune --keep=7
    """
    from cn_ops.generations import folder_lock
    from cn_ops.prune import dumps_on_record, policy
    from cn_ops.prune import prune as remove
    from cn_ops.report.documents import decision_document
    from cn_ops.report.terminal import decision_table
    from cn_ops.tasks.setup import prepared, whole_number
    from cn_ops.tasks.show import print_json, show

    wanted = whole_number("--keep", keep, 1)
    with prepared() as ready:
        settings = ready.loaded.settings.backup
        with folder_lock(settings.directory, "prune"):
            retention = remove(
                settings,
                policy(settings, last=wanted, trust=trust),
                needed=dumps_on_record(ready.loaded.settings.state),
                dry_run=dry_run,
            )
        if retention.suspicion:
            ready.progress.warned(f"nothing is removed: {retention.suspicion}; --trust removes anyway")
    if json:
        print_json(decision_document(retention.decisions, retention.suspicion, dry_run=dry_run))
    else:
        show(decision_table(retention.decisions, dry_run=dry_run))
