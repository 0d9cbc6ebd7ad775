"""The pages made from the code: they are up to date, and hold everything."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from invoke.tasks import Task

from cn_ops.errors import EXIT_MEANINGS, ExitCode
from cn_ops.report.summary import FIELDS
from cn_ops.tasks import namespace
from cn_ops.tasks.reference import all_tasks, examples, exit_codes_page, summary_page, tasks_page
from tests.support.commands import parse

ROOT = Path(__file__).resolve().parents[3]
PAGES = {
    "docs/reference/tasks.md": tasks_page,
    "docs/reference/exit-codes.md": exit_codes_page,
    "docs/reference/summary.md": summary_page,
}
TASKS = [name for name, _ in all_tasks(namespace())]


def task_named(name: str) -> Task[Any]:
    return dict(all_tasks(namespace()))[name]


@pytest.mark.parametrize("page", PAGES)
def test_page_is_what_the_code_says(page: str) -> None:
    assert (ROOT / page).read_text(encoding="utf-8") == PAGES[page](), "write it: nox -s docs -- --write"


@pytest.mark.parametrize("name", TASKS)
def test_task_is_on_its_page_with_every_option_and_an_example(name: str) -> None:
    section = tasks_page().partition(f"## `inv {name}`\n")[2].partition("\n## ")[0]
    task = task_named(name)
    for argument in task.get_arguments():
        option = str(argument.name).replace("_", "-")
        assert re.search(rf"^\| `--(\[no-\])?{option}[`=]", section, re.MULTILINE), option
        assert argument.help, f"--{argument.name} has no help"
    assert examples(task)


@pytest.mark.parametrize("name", TASKS)
def test_examples_of_a_task_are_commands_of_that_task(name: str) -> None:
    for line in examples(task_named(name)):
        program, _, arguments = line.partition(" ")
        assert program == "inv"
        assert parse(arguments) == [name]


def test_every_exit_code_is_on_its_page() -> None:
    assert set(EXIT_MEANINGS) == set(ExitCode)
    for code in ExitCode:
        assert f"\n| {int(code)} | {EXIT_MEANINGS[code]} |\n" in exit_codes_page()


def test_every_field_of_the_summary_is_on_its_page_in_order() -> None:
    assert re.findall(r"^\| `(\w+)` \|", summary_page(), re.MULTILINE) == list(FIELDS)
