"""The layers of docs/architecture.md: an import goes down only, and each library has one home."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import cn_ops

PACKAGE = Path(cn_ops.__file__).parent


@dataclass(frozen=True)
class Layer:
    """Modules of one layer, and the layers that they may import besides their own."""

    modules: frozenset[str]
    may_import: frozenset[str]


def layer(modules: str, may_import: str = "") -> Layer:
    return Layer(frozenset(modules.split()), frozenset(may_import.split()))


# The one place where it is written down which layer a module is in.
LAYERS = {
    "0": layer("__init__ errors fingerprint jobs masking model names text"),
    "1": layer("application files journal logs phases process process_group settings small_disk", "0"),
    "2": layer("stack", "0 1"),
    "3": layer("postgres", "0 1 2"),
    "4": layer("differences generations manifest retention", "0 1"),
    "5": layer(
        "backup beside detection doctor drill drill_phases drill_recovery exchange faults heal http_probes"
        " late_writes operation proof prune record replacement restore restore_plan seed source troubles verify"
        " writers",
        "0 1 2 3 4",
    ),
    "6": layer("report", "0"),
    "7": layer("tasks", "0 1 2 3 4 5 6"),
    "devnode": layer("devnode", "0 1"),
}
LAYER_OF = {module: name for name, one in LAYERS.items() for module in one.modules}

# Who may import what; subprocess and its kin have no home, since every process starts through cn_ops.process.
HOMES = {
    "sh": {"process"},
    "psycopg": {"postgres", "devnode"},
    "psycopg_pool": {"devnode"},
    "starlette": {"devnode"},
    "uvicorn": {"devnode"},
    "invoke": {"tasks"},
    "subprocess": set[str](),
    "multiprocessing": set[str](),
    "pexpect": set[str](),
}


def imports(path: Path, package: Path) -> set[str]:
    """Return the full names that a file imports, wherever in it it does so."""
    inside = (package.name, *path.relative_to(package).parts[:-1])
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = inside[: len(inside) - node.level + 1] if node.level else ()
            origin = ".".join([*above, *([node.module] if node.module else [])])
            found |= {f"{origin}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and "import" in ast.unparse(node.func):
            found |= {str(one.value) for one in node.args if isinstance(one, ast.Constant)}
    return found


def own_module(name: str, package: Path) -> str | None:
    """Return the top module of the package that a full name leads to, or None when it leads elsewhere."""
    parts = name.split(".")
    if parts[0] != package.name:
        return None
    there = len(parts) > 1 and ((package / parts[1]).is_dir() or (package / f"{parts[1]}.py").exists())
    return parts[1] if there else "__init__"


def files(package: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(package.rglob("*.py")):
        yield path, path.relative_to(package).parts[0].removesuffix(".py")


def violations(package: Path) -> list[str]:
    problems = []
    for path, module in files(package):
        if module not in LAYER_OF:
            problems.append(f"{module} is in no layer: say in tests/unit/test_architecture.py which one it is in")
            continue
        mine = LAYER_OF[module]
        for name in sorted(imports(path, package)):
            where = f"{path.relative_to(package)} imports {name}"
            own = own_module(name, package)
            if own and LAYER_OF.get(own) not in {mine, *LAYERS[mine].may_import}:
                problems.append(f"{where}: layer {mine} may not import layer {LAYER_OF.get(own)}")
            elif module not in HOMES.get(name.split(".")[0], {module}):
                problems.append(f"{where}: its home is {HOMES[name.split('.')[0]] or 'nowhere'}")
    return problems


def test_imports_go_down_only_and_libraries_have_one_home() -> None:
    assert violations(PACKAGE) == []


def test_no_module_is_imported_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for path, module in files(PACKAGE):
        wanted = {own for name in imports(path, PACKAGE) if (own := own_module(name, PACKAGE))}
        graph.setdefault(module, set()).update(wanted - {module, "__init__"})
    graphlib.TopologicalSorter(graph).prepare()


def test_every_module_is_in_one_layer() -> None:
    assert sum(len(one.modules) for one in LAYERS.values()) == len(LAYER_OF)


def test_libraries_are_used_in_their_homes() -> None:
    """A home that nobody lives in is a rule that holds nothing."""
    used = {(name.split(".")[0], module) for path, module in files(PACKAGE) for name in imports(path, PACKAGE)}
    for library, homes in HOMES.items():
        for home in homes:
            assert (library, home) in used, f"{home} does not import {library}"


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("errors.py", "import cn_ops.model\nfrom cn_ops.files import publish", "layer 0 may not import layer 1"),
        ("backup.py", "def lazily():\n    from cn_ops import tasks", "layer 5 may not import layer 7"),
        ("report/page.py", "from cn_ops.settings import Settings", "layer 6 may not import layer 1"),
        ("report/page.py", "from ..settings import Settings", "layer 6 may not import layer 1"),
        ("retention.py", "from .stack import Stack", "layer 4 may not import layer 2"),
        ("devnode/cli.py", "import cn_ops.stack.base", "layer devnode may not import layer 2"),
        (
            "stack/compose.py",
            "import importlib\nimportlib.import_module('cn_ops.postgres')",
            "may not import layer 3",
        ),
        ("stack/compose.py", "if True:\n    from sh import Command", "its home is {'process'}"),
        ("backup.py", "import psycopg.sql", "its home is"),
        ("process.py", "from subprocess import run", "its home is nowhere"),
        ("newcomer.py", "", "newcomer is in no layer"),
    ],
)
def test_violation_is_found(tmp_path: Path, file: str, text: str, problem: str) -> None:
    package = tmp_path / "cn_ops"
    for module in ("files", "model", "settings"):
        (package / module).mkdir(parents=True)
    for module in ("tasks", "stack", "postgres", "report", "devnode"):
        (package / module).mkdir()
    (package / file).write_text(text)
    (found,) = violations(package)
    assert problem in found


def test_what_goes_down_is_no_violation(tmp_path: Path) -> None:
    package = tmp_path / "cn_ops"
    (package / "stack").mkdir(parents=True)
    (package / "errors.py").write_text('"""Errors."""\nimport enum\n')
    (package / "stack" / "base.py").write_text("from cn_ops import __version__, errors\nfrom . import compose\n")
    (package / "stack" / "compose.py").write_text("from ..errors import OpsError\n")
    assert violations(package) == []
