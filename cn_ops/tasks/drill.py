"""`inv drill`."""

from __future__ import annotations

from invoke.context import Context

from cn_ops.tasks.guard import command, help_of


@command(
    aliases=["recovery-drill"],
    help=help_of(
        "stack",
        "json",
        "dry_run",
        scenario="the damage to do (see --list-scenarios)",
        list_scenarios="show which scenarios there are",
        all_scenarios="drill every scenario, and show which ones are survived",
        build="build the services' images first (compose)",
        keep="leave the stack up, with its data",
        prove_detection="damage a copy in many ways and require the comparison to notice each",
        events="how many events to seed, at least 9 (default: the seed's own nine)",
    ),
)
def drill(
    context: Context,
    stack: str = "",
    scenario: str = "truncated-tables",
    list_scenarios: bool = False,
    all_scenarios: bool = False,
    build: bool = True,
    keep: bool = False,
    prove_detection: bool = False,
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
      inv drill --scenario=lost-volume --prove-detection
      inv drill --all-scenarios
      inv drill --dry-run
    """
    from cn_ops.drill_phases import DrillOptions
    from cn_ops.tasks import drill_run
    from cn_ops.tasks.setup import whole_number

    options = DrillOptions(
        build=build, keep=keep, events=whole_number("--events", events, 9), prove_detection=prove_detection
    )
    if list_scenarios:
        drill_run.list_scenarios(as_json=json)
    elif all_scenarios and not dry_run:
        drill_run.run_all_scenarios(stack, options, as_json=json)
    else:
        drill_run.run_drill(stack, scenario, options, as_json=json, dry_run=dry_run)
