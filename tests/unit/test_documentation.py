"""What the documentation tells people: its commands exist, and its tables are the code's."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from invoke.exceptions import ParseError

from cn_ops.errors import EXIT_MEANINGS
from cn_ops.fingerprint import Comparison, Difference
from cn_ops.model import Finding, Manifest, PresetTime, Proof, RestoreResult, ServiceStatus, StackStatus
from cn_ops.tasks import namespace
from cn_ops.tasks.reference import all_tasks
from tests.support.commands import commands, parse
from tests.unit.test_architecture import LAYERS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
LINES = {
    "drill-command": "python3 -m venv .venv && .venv/bin/pip install -q -e '.[demo]' && .venv/bin/inv drill",
    "test-command": "python3 -m venv .venv && .venv/bin/pip install -q nox && .venv/bin/nox",
}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_of_a_page_is_understood(page: Path) -> None:
    for arguments in commands(page.read_text(encoding="utf-8")):
        assert parse(arguments), arguments


def test_what_looks_for_commands_finds_them_and_refuses_what_is_none() -> None:
    lines = (
        "`inv backups` and",
        "  A_B=1 .venv/bin/inv drill --keep",
        "cd x && inv prune",
        "ExecStart=/o/inv backup",
    )
    assert commands("\n".join(lines)) == ["backups", "drill --keep", "prune", "backup"]
    with pytest.raises(ParseError):
        parse("drill --frob")


@pytest.mark.parametrize("marker", LINES)
def test_readme_has_its_two_lines_behind_their_markers(marker: str) -> None:
    assert re.findall(rf"^<!-- {marker} -->\n\n```bash\n(.*)\n```$", read("README.md"), re.MULTILINE) == [
        LINES[marker]
    ]


def test_readme_names_every_task_and_every_exit_code() -> None:
    named = {name for arguments in commands(read("README.md")) for name in parse(arguments)}
    assert named == {name for name, _ in all_tasks(namespace())}
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", read("README.md"), re.MULTILINE)
    assert rows == [(str(int(code)), text) for code, text in EXIT_MEANINGS.items()]


# What `--json` prints as it is, but for phases and the report of a drill, which have pages of their own.
PRINTED = (Comparison, Difference, Finding, Manifest, PresetTime, Proof, RestoreResult, ServiceStatus, StackStatus)


@pytest.mark.parametrize("kind", PRINTED)
def test_every_field_that_is_printed_as_json_is_on_its_page(kind: type[Any]) -> None:
    named = set(re.findall(r"`(\w+)`", read("docs/reference/json.md")))
    assert {field.name for field in fields(kind)} <= named


def test_every_command_is_on_the_page_of_json() -> None:
    page = read("docs/reference/json.md")
    assert [name for name, _ in all_tasks(namespace()) if not re.search(rf"`{re.escape(name)}[` ]", page)] == []


def test_architecture_shows_the_layers_that_the_imports_are_held_to() -> None:
    section = read("docs/architecture.md").partition("\n## Layers\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d|devnode) \| (.*) \| (.*) \|$", section, re.MULTILINE)
    shown = {layer: set(re.findall(r"`([a-z_]+)`", modules)) for layer, modules, _ in rows}
    # a library's name stands between backticks too
    libraries = {"sh", "psycopg", "invoke"}
    assert {name: found - libraries for name, found in shown.items()} == {
        name: set(one.modules) - {"__init__"} for name, one in LAYERS.items()
    }


def test_both_languages_of_the_runbook_give_the_same_commands_under_the_same_numbers() -> None:
    block = re.compile(r"^ *```([a-z]+)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
    seen = []
    for language in ("", ".ja"):
        text = read(f"docs/ops_runbook{language}.md")
        # comments are in the page's own language
        blocks = [(kind, re.sub(r" *# .*", "", body)) for kind, body in block.findall(text)]
        seen.append((re.findall(r"^(#+) ([\d.]*)", block.sub("", text), re.MULTILINE), blocks))
    assert len(seen[0][1]) > 20
    assert seen[0] == seen[1]
