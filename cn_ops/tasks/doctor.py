"""`inv doctor`."""

from __future__ import annotations

from invoke.context import Context

from cn_ops.tasks.guard import command, ending_with, help_of


@command(
    reads=True,
    help=help_of(
        "stack", "json", measure="dump the live database with each preset, throw it away, and recommend one"
    ),
)
def doctor(context: Context, measure: bool = False, stack: str = "", json: bool = False) -> None:
    """Look at everything that backups, restores and drills need; change nothing. Exit 0: no problem, 3: a problem.

    For example:
      inv doctor
      inv doctor --measure
      inv doctor --json
    """
    from cn_ops import doctor as looking
    from cn_ops.errors import ExitCode
    from cn_ops.model import Level
    from cn_ops.phases import Phases
    from cn_ops.report.examination import doctor_document, doctor_result
    from cn_ops.tasks.setup import prepared
    from cn_ops.tasks.show import print_json, show

    with prepared(stack) as ready:
        choice = ready.choose()
        settings = ready.loaded.settings
        findings = tuple(looking.examine(settings, choice))
        problems = [one for one in findings if one.level is Level.PROBLEM]
        measured = looking.measure(settings, choice, Phases(ready.progress)) if measure and not problems else ()
        best = looking.recommended(measured) if measured else ""
    with ending_with(ExitCode.MISSING if problems else ExitCode.OK):
        if json:
            print_json(doctor_document(findings, measured, best))
        else:
            show(doctor_result(findings, measured, best))
