"""The reference page and the examples are what the code makes of them."""

from __future__ import annotations

import ast
from pathlib import Path

from cn_ops.settings.environment import OLD_NAMES
from cn_ops.settings.fields import leaves
from cn_ops.settings.load import load
from cn_ops.settings.reference import PAGE, REGENERATE, settings_page
from cn_ops.settings.schema import EmbeddedService

CHECKOUT = Path(__file__).parents[3]
EXAMPLES = CHECKOUT / "docs/examples"


def test_reference_page_is_the_one_that_the_schema_makes() -> None:
    written = (CHECKOUT / PAGE).read_text(encoding="utf-8")
    assert written == settings_page(), f"{PAGE} is out of date: make it anew with `{REGENERATE}`"


def test_reference_page_names_everything_that_can_be_set() -> None:
    page = settings_page()
    for leaf in leaves():
        assert f"| `{leaf.path}`<br>`{leaf.environment}` |" in page
        assert leaf.field.description is not None
        assert leaf.field.description.replace("|", "\\|") in page
    for name in (*OLD_NAMES, *EmbeddedService.model_fields):
        assert f"| `{name}` |" in page


def test_every_table_of_the_page_has_the_cells_of_its_head() -> None:
    heads = 0
    width = 0
    for line in settings_page().splitlines():
        cells = line.replace("\\|", "").count("|")
        if line.startswith("|") and not width:
            heads, width = heads + 1, cells
        assert cells == (width if line.startswith("|") else 0), line
        width = width if line.startswith("|") else 0
    assert heads >= 8


def test_example_of_a_real_node_loads_and_is_safe() -> None:
    file = EXAMPLES / "kukuri-node.cn_ops.yaml"
    loaded = load(EXAMPLES, {"CN_OPS_CONFIG": file.name})
    settings = loaded.settings
    assert loaded.file == file
    assert (settings.stack.kind, settings.stack.disposable) == ("compose", False)
    assert settings.stack.postgres.service == "cn-postgres"
    assert settings.drill.seed is settings.drill.invite is settings.drill.cleanup is None
    assert settings.stack.postgres.service not in settings.stack.writers
    assert settings.drill.service in settings.stack.writers
    # Nothing of a real node may depend on the folder of the file, or on the one it is started in.
    own = [
        loaded.sources[leaf.path]
        for leaf in leaves()
        if leaf.shape.kind == "path" and leaf.keys[1:2] not in (("embedded",), ("server",))
    ]
    assert "default" not in own


def test_example_works_with_a_standalone_compose_binary() -> None:
    file = EXAMPLES / "kukuri-node.cn_ops.yaml"
    environment = {"CN_OPS_CONFIG": str(file), "CN_OPS_STACK__COMPOSE__COMMAND": "docker-compose"}
    assert load(Path("/"), environment).settings.stack.compose.command == "docker-compose"
    assert "command: docker-compose" in file.read_text(encoding="utf-8")


def test_example_of_another_repository_is_one_import_and_one_name() -> None:
    tree = ast.parse((EXAMPLES / "tasks.py").read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert [(node.module, [alias.name for alias in node.names]) for node in imports] == [
        ("cn_ops.tasks", ["namespace"])
    ]
    assert [target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets
            if isinstance(target, ast.Name)] == ["ns"]  # fmt: skip
