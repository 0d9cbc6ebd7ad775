"""Run a drill for `inv drill`: its log, its summary, and what a person sees."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from cn_ops.drill import DRILL_PHASES, drill, not_tried
from cn_ops.drill_phases import DrillOptions, require_disposable, require_possible
from cn_ops.errors import RUN_AGAIN, ExitCode, MissingError, OpsError, UsageError, saying
from cn_ops.faults import SCENARIOS, Scenario
from cn_ops.files import explained, publish_json
from cn_ops.logs import log_to
from cn_ops.model import DrillError, DrillReport
from cn_ops.names import new_id
from cn_ops.operation import Operation
from cn_ops.report.failure import print_failure
from cn_ops.report.rehearsal import drill_result, scenario_table
from cn_ops.report.summary import summary
from cn_ops.report.terminal import fact_lines
from cn_ops.settings import DrillSettings
from cn_ops.tasks.guard import ending_with
from cn_ops.tasks.setup import locked
from cn_ops.tasks.show import print_json, show, stderr_console

READABLE = 0o644


def run_drill(stack: str, scenario: str, options: DrillOptions, *, as_json: bool, dry_run: bool) -> None:
    """Drill, write the log and both summaries, show the result; raises ``Exit`` when the drill failed."""
    if scenario not in SCENARIOS:
        raise UsageError(
            f"there is no scenario {scenario!r}",
            state="nothing was started or changed",
            hint=f"the known ones: {', '.join(SCENARIOS)}",
        )
    wanted = SCENARIOS[scenario]
    if wanted.is_killed and not dry_run:
        _kill_first(stack, options)
    # Checked in its first phase: the summary tells of that as well.
    with locked("drill", stack, check=False) as operation:
        require_disposable(operation)
        require_possible(operation, options)
        if reason := wanted.why_not(operation):
            raise MissingError(
                f"the scenario {scenario!r} cannot be tried here: {reason}",
                state="nothing was started or changed",
                hint="try it where that is given; `inv drill --all-scenarios` shows it as skipped",
            )
        if dry_run:
            _show_plan(operation, wanted, options, as_json=as_json)
            return
        report, path = _drilled(operation, wanted, options)
    _show_report(report, path, as_json=as_json)


def list_scenarios(*, as_json: bool) -> None:
    """Show which scenarios there are."""
    known = {one.name: one.summary for one in SCENARIOS.values()}
    print_json(known) if as_json else show(fact_lines(known))


def run_all_scenarios(stack: str, options: DrillOptions, *, as_json: bool) -> None:
    """Drill every scenario and show which this deployment survives; raises ``Exit`` when it does not survive one."""
    reports = []
    for number, scenario in enumerate(SCENARIOS.values(), 1):
        cpu_before = time.process_time()
        heading = f"scenario {number} of {len(SCENARIOS)}: {scenario.name} ({scenario.summary})"
        stderr_console().print(heading, style="bold")
        if scenario.is_killed:
            _kill_first(stack, options)
        with locked("drill", stack) as operation:
            require_disposable(operation)
            require_possible(operation, options)
            if reason := scenario.why_not(operation):
                reports.append(not_tried(operation, scenario, reason, datetime.now(UTC)))
            else:
                reports.append(_drilled(operation, scenario, options, cpu_before)[0])
        error = reports[-1].error
        if error and error.exit_code == ExitCode.INTERRUPTED:
            break  # whoever pressed Ctrl-C did not mean this one scenario
    with ending_with(max((one.error.exit_code for one in reports if one.error), default=0)):
        if as_json:
            print_json({"scenarios": [summary(one) for one in reports]})
        else:
            show(scenario_table(reports))


def _kill_first(stack: str, options: DrillOptions) -> None:
    """Kill a drill before each of its phases; the lock is theirs meanwhile."""
    from cn_ops.tasks.killed_drill import kill_before_each_phase

    with locked("drill", stack) as operation:
        require_disposable(operation)
    kill_before_each_phase(stack, options)


def _drilled(
    operation: Operation, scenario: Scenario, options: DrillOptions, cpu_before: float = 0.0
) -> tuple[DrillReport, Path]:
    settings = operation.settings.drill
    executed_at = datetime.now(UTC)
    stamp = _free_stamp(settings, executed_at)
    log = settings.logs / f"{stamp}.log"
    with log_to(log):
        report = drill(operation, scenario, options, executed_at, log, cpu_before)
    path = settings.results / f"{stamp}-summary.json"
    with saying(f"the drill has ended ({report.status}), and its summary is not written: see {log}", RUN_AGAIN):
        try:
            settings.results.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explained(error, settings.results, "make the folder") from error
        for one in (path, settings.results / "latest-summary.json"):
            publish_json(one, summary(report), mode=READABLE)
    return report, path


def _free_stamp(settings: DrillSettings, now: datetime) -> str:
    """Return a name that no other drill of this second has taken, such as one on the other kind of stack."""
    taken = 0
    while (settings.logs / f"{new_id(now, taken)}.log").exists():
        taken += 1
    return new_id(now, taken)


def _show_plan(operation: Operation, scenario: Scenario, options: DrillOptions, *, as_json: bool) -> None:
    settings = operation.settings
    operation.stack.preflight()
    plan = {
        "stack": operation.stack.kind,
        "phases": list(DRILL_PHASES),
        "build": options.build,
        "seed": settings.drill.seed,
        "truncate": settings.drill.truncate,
        "database": operation.database,
        "writers": operation.stack.writers,
        "backups": str(settings.backup.directory),
        "running_now": operation.stack.running(),
    }
    if as_json:
        print_json(plan)
        return
    facts = {"scenario": f"{scenario.name}: {scenario.summary}", **plan}
    show(fact_lines(facts), "dry run: nothing was started or changed")


def _show_report(report: DrillReport, path: Path, *, as_json: bool) -> None:
    with ending_with(report.error.exit_code if report.error else 0):
        try:
            print_json(summary(report)) if as_json else show(drill_result(report, path))
        finally:
            if report.error:
                _show_error(report.error, report.stack)


def _show_error(error: DrillError, stack: str) -> None:
    failure = OpsError(error.message, hint=error.hint, state=error.database_state, evidence=error.evidence)
    console = stderr_console()
    print_failure(console, failure)
    console.print(_where_to_look(stack), style="dim")


def _where_to_look(stack: str) -> str:
    """Name the stack in each command: left to `auto`, it could be the other one."""
    if stack == "server":
        return "kept: the database as it is, the dump and the log · look: `inv stack.status --stack=server`"
    look = f"kept: the stack, the dump and the log · look: `inv stack.status --stack={stack}`"
    return f"{look}, `inv stack.logs --stack={stack}` · clean up: `inv stack.down --volumes --stack={stack}`"
