"""Run a drill for `inv drill`: its log, its summary, and what a person sees."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from invoke.exceptions import Exit

from cn_ops.drill import DRILL_PHASES, drill
from cn_ops.drill_phases import DrillOptions, require_disposable
from cn_ops.errors import OpsError, UsageError
from cn_ops.faults import SCENARIOS
from cn_ops.files import explained, publish_json
from cn_ops.generations import new_id
from cn_ops.logs import log_to
from cn_ops.model import DrillReport
from cn_ops.operation import Operation
from cn_ops.report.failure import print_failure
from cn_ops.report.summary import summary
from cn_ops.report.terminal import drill_result, fact_lines
from cn_ops.settings import DrillSettings
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
    # Checked in its first phase: the summary tells of that as well.
    with locked("drill", stack, check=False) as operation:
        require_disposable(operation)
        if dry_run:
            _show_plan(operation, options, as_json=as_json)
            return
        report, path = _drilled(operation, options)
    _show_report(report, path, as_json=as_json)


def _drilled(operation: Operation, options: DrillOptions) -> tuple[DrillReport, Path]:
    settings = operation.settings.drill
    executed_at = datetime.now(UTC)
    stamp = _free_stamp(settings, executed_at)
    log = settings.logs / f"{stamp}.log"
    with log_to(log):
        report = drill(operation, options, executed_at, log)
    path = settings.results / f"{stamp}-summary.json"
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


def _show_plan(operation: Operation, options: DrillOptions, *, as_json: bool) -> None:
    settings = operation.settings
    operation.stack.preflight()
    plan = {
        "stack": operation.stack.name,
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
    show(fact_lines(plan), "dry run: nothing was started or changed")


def _show_report(report: DrillReport, path: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(summary(report))
    else:
        show(drill_result(report, path))
    if report.error:
        failure = OpsError(
            report.error.message,
            hint=report.error.hint,
            state=report.error.database_state,
            evidence=report.error.evidence,
        )
        console = stderr_console()
        print_failure(console, failure)
        console.print(_where_to_look(report.stack), style="dim")
        raise Exit(code=report.error.exit_code)


def _where_to_look(stack: str) -> str:
    """Name the stack in each command: left to `auto`, it could be the other one."""
    look = f"kept: the stack, the dump and the log · look: `inv stack.status --stack={stack}`"
    return f"{look}, `inv stack.logs --stack={stack}` · clean up: `inv stack.down --volumes --stack={stack}`"
