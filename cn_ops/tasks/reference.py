"""The reference pages of tasks, exit codes and the summary, made from the code that they are about."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from invoke.collection import Collection
from invoke.parser.argument import Argument
from invoke.tasks import Task

from cn_ops.errors import EXIT_MEANINGS
from cn_ops.report.summary import FIELDS
from cn_ops.report.summary_check import NEW_RULES, OLD_RULES
from cn_ops.tasks import namespace

REGENERATE = "nox -s docs -- --write"
EXAMPLES = "For example:"

_TASKS = f"""\
# Tasks

<!-- Made from cn_ops/tasks by `{REGENERATE}`: change it there. -->

`inv --list` lists them, `inv --help TASK` shows one. Results go to stdout; progress, warnings and errors go to
stderr. With `--json` stdout holds one JSON document and nothing else, also after a failure. How a task ended is its
[exit code](exit-codes.md); where it finds everything are the [settings](settings.md).

Options belong to the task before them: `inv restore --dump=latest --yes`. A task that changes the stack
or its database holds the stack's lock while it runs; `prune` holds the backup folder's, `verify` one of its own.
"""

_EXIT_CODES = f"""\
# Exit codes

<!-- Made from cn_ops/errors.py by `{REGENERATE}`: change it there. -->

| Code | Meaning |
| --- | --- |
"""

_EXIT_NOTES = """\

A command line that Invoke itself does not understand (an unknown task or option, an option without its value) ends
with 1 before cn-ops is asked: `No idea what '--frob' is!`.

With `--json` a failure is a document as well: `error` with `message`, `state` (what everything is in now), `hint`
(what to do), `evidence` (a tool's last lines) and `exit_code`. A drill that has begun prints its
[summary](summary.md) instead, whose `error` says the same and names the phase.

SIGTERM, and SIGHUP unless it is ignored (`nohup`), end a command the way Ctrl-C does: what it had begun is ended or
left on record, and the code is 130.

A command that did what it was to do, and whose result cannot be written (a full disk, a reader such as `head` that
has left), ends with 1. Progress that cannot be written ends nothing. Of a failure the code is the failure's own.
"""

_SUMMARY = f"""\
# A drill's summary

<!-- Made from cn_ops/report by `{REGENERATE}`: change it there. -->

Each drill that has begun writes `<time>-summary.json` and the same as `latest-summary.json` into `drill.results`,
passed or not, and each file is complete or not there. `inv drill --json` prints it. The first nine fields are those
of the old script, in its order. What was not measured is null, never 0.

`python -m cn_ops.report.summary_check FILE` checks a summary field by field, as the last column says, and that the
restored rows are the baseline's; it ends with 0 or, naming each field that does not fit, with 4.

| Field | What it says | After a passed drill |
| --- | --- | --- |
"""


def tasks_page() -> str:
    """Return the page of the tasks, as Markdown."""
    return "\n".join([_TASKS, *(_task_section(name, one) for name, one in all_tasks(namespace()))])


def exit_codes_page() -> str:
    """Return the page of the exit codes, as Markdown."""
    return _EXIT_CODES + "".join(_row(str(int(code)), text) for code, text in EXIT_MEANINGS.items()) + _EXIT_NOTES


def summary_page() -> str:
    """Return the page of the summary's fields, as Markdown."""
    rules = {rule.field: rule.must_be for rule in OLD_RULES + NEW_RULES}
    rows = (_row(f"`{name}`", text, rules.get(name, "not checked")) for name, text in FIELDS.items())
    return _SUMMARY + "".join(rows)


def all_tasks(collection: Collection) -> Iterator[tuple[str, Task[Any]]]:
    """Yield every task by the name with which a person calls it."""
    for name in collection.task_names:
        yield name, collection[name]


def examples(task: Task[Any]) -> list[str]:
    """Return the command lines that a task's docstring gives."""
    _, _, given = (inspect.getdoc(task) or "").partition(EXAMPLES)
    return [line.strip() for line in given.splitlines() if line.strip()]


def _task_section(name: str, task: Task[Any]) -> str:
    text = (inspect.getdoc(task) or "").partition(EXAMPLES)[0].strip()
    also = f"Also called `{'`, `'.join(task.aliases)}`.\n\n" if task.aliases else ""
    commands = "\n".join(examples(task))
    rows = "".join(_option_row(one) for one in task.get_arguments())
    table = f"| Option | Default | Meaning |\n| --- | --- | --- |\n{rows}"
    return f"## `inv {name}`\n\n{text}\n\n{also}```bash\n{commands}\n```\n\n{table}"


def _option_row(argument: Argument) -> str:
    name = (argument.name or "").replace("_", "-")
    if argument.kind is bool:
        return _row(
            f"`--{'[no-]' if argument.default else ''}{name}`",
            "on" if argument.default else "off",
            argument.help or "",
        )
    default = "–" if argument.default in (None, "") else f"`{argument.default}`"
    return _row(f"`--{name}=…`", default, argument.help or "")


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
