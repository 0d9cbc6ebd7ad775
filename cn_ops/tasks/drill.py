"""`inv drill`."""

from __future__ import annotations

from invoke.context import Context
from invoke.tasks import task

from cn_ops.tasks.guard import guarded, help_of


@task(
    aliases=["recovery-drill"],
    help=help_of(
        "stack",
        "json",
        "dry_run",
        scenario="the damage to do: truncated-tables",
        build="build the services' images first (compose)",
        keep="leave the stack up, with its data",
        events="how many events to seed (default: the seed's own nine)",
    ),
)
@guarded
def drill(
    context: Context,
    stack: str = "",
    scenario: str = "truncated-tables",
    build: bool = True,
    keep: bool = False,
    events: str | None = None,
    json: bool = False,
    dry_run: bool = False,
) -> None:
    """Rehearse the recovery: back up, damage, restore, and prove that the data is back.

    It destroys data, so it runs only on a disposable stack. The log, the summary and the dump stay.

    For example:
      inv drill
      inv drill --stack=embedded --events=100000
      inv drill --no-build --json
      inv drill --dry-run
    """
    from cn_ops.drill_phases import DrillOptions
    from cn_ops.tasks.drill_run import run_drill
    from cn_ops.tasks.setup import whole_number

    options = DrillOptions(build=build, keep=keep, events=whole_number("--events", events, 9))
    run_drill(stack, scenario, options, as_json=json, dry_run=dry_run)
