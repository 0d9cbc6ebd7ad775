"""The pages made from the code, and every command that the documentation tells people to type."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from invoke.parser import Parser

from cn_ops.errors import EXIT_MEANINGS, ExitCode
from cn_ops.report.summary import FIELDS
from cn_ops.tasks import namespace
from cn_ops.tasks.reference import all_tasks, examples, exit_codes_page, summary_page, tasks_page

ROOT = Path(__file__).resolve().parents[3]
PAGES = {
    "docs/reference/tasks.md": tasks_page,
    "docs/reference/exit-codes.md": exit_codes_page,
    "docs/reference/summary.md": summary_page,
}
TASKS = dict(all_tasks(namespace()))
WRITTEN = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
# `inv drill`, `.venv/bin/inv drill`, in a line of a code block or between backticks
COMMAND = re.compile(r"(?:^|`|&& |ExecStart=)(?:\S*/)?inv ([a-z][^`\n&;]*)", re.MULTILINE)


def parse(arguments: str) -> list[str]:
    """Return the tasks that Invoke would run; raises ``ParseError`` for what it does not know."""
    words = shlex.split(arguments.partition(" > ")[0], comments=True)
    return [str(one.name) for one in Parser(contexts=namespace().to_contexts()).parse_argv(words)]


@pytest.mark.parametrize("page", PAGES)
def test_page_is_what_the_code_says(page: str) -> None:
    assert (ROOT / page).read_text(encoding="utf-8") == PAGES[page](), "write it: nox -s docs -- --write"


@pytest.mark.parametrize("name", TASKS)
def test_task_is_on_its_page_with_every_option_and_an_example(name: str) -> None:
    section = tasks_page().partition(f"## `inv {name}`\n")[2].partition("\n## ")[0]
    for argument in TASKS[name].get_arguments():
        assert re.search(rf"`--(no-)?{argument.name}[`=]", section), argument.name
        assert argument.help, f"--{argument.name} has no help"
    assert examples(TASKS[name])


@pytest.mark.parametrize("name", TASKS)
def test_examples_of_a_task_are_commands_of_that_task(name: str) -> None:
    for line in examples(TASKS[name]):
        program, _, arguments = line.partition(" ")
        assert program == "inv"
        assert parse(arguments) == [name]


def test_every_exit_code_is_on_its_page() -> None:
    assert set(EXIT_MEANINGS) == set(ExitCode)
    for code in ExitCode:
        assert f"\n| {int(code)} | {EXIT_MEANINGS[code]} |\n" in exit_codes_page()


def test_every_field_of_the_summary_is_on_its_page_in_order() -> None:
    assert re.findall(r"^\| `(\w+)` \|", summary_page(), re.MULTILINE) == list(FIELDS)


@pytest.mark.parametrize("page", WRITTEN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_in_the_documentation_is_understood(page: Path) -> None:
    for arguments in COMMAND.findall(page.read_text(encoding="utf-8")):
        assert parse(arguments), arguments


def test_what_looks_for_commands_finds_them() -> None:
    lines = ("`inv backups` and", ".venv/bin/inv drill --keep", "cd x && inv prune", "ExecStart=/opt/bin/inv backup")
    assert COMMAND.findall("\n".join(lines)) == ["backups", "drill --keep", "prune", "backup"]


def test_both_languages_of_the_runbook_give_the_same_commands_under_the_same_numbers() -> None:
    block = re.compile(r"^```([a-z]+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
    seen = []
    for language in ("", ".ja"):
        text = (ROOT / "docs" / f"ops_runbook{language}.md").read_text(encoding="utf-8")
        # comments are in the page's own language
        blocks = [(kind, re.sub(r" *# .*", "", body)) for kind, body in block.findall(text)]
        headings = re.findall(r"^(#+) ([\d.]*)", block.sub("", text), re.MULTILINE)
        seen.append((headings, blocks))
    assert len(seen[0][1]) > 5
    assert seen[0] == seen[1]
