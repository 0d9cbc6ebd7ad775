"""What `inv config` shows, and the JSON Schema for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from cn_ops.masking import MASK, mask
from cn_ops.settings.describe import document, effective, json_schema
from cn_ops.settings.fields import leaves
from tests.unit.settings.conftest import Project

EXAMPLE = Path(__file__).parents[3] / "docs/examples/kukuri-node.cn_ops.yaml"

SECRETS = {
    "CN_OPS_STACK__POSTGRES__PASSWORD": "correct-horse",
    "CN_OPS_DRILL__SEED": "[run, 'postgres://cn:battery-staple@h/cn', '--password=tr0ub4dor']",
    "CN_OPS_STACK__EMBEDDED__SERVICES": "{a: {command: [x], environment: {API_TOKEN: t-o-k-e-n, PLAIN: seen}}}",
}


def test_every_setting_is_shown_with_value_source_and_meaning(project: Project) -> None:
    project.write("backup:\n  generations: 7\n")
    shown = {one.path: one for one in effective(project.load({"CN_OPS_DRILL__TOPIC": "話題"}))}
    assert list(shown) == [leaf.path for leaf in leaves()]
    assert all(one.description for one in shown.values())
    assert (shown["backup.generations"].value, shown["backup.generations"].source) == ("7", "cn_ops.yaml:2")
    assert (shown["drill.topic"].value, shown["drill.topic"].source) == ("話題", "environment CN_OPS_DRILL__TOPIC")
    assert shown["state"].value == str(project.folder / "tmp/cn-ops")
    assert shown["stack.disposable"].value == "null"
    assert shown["application.deadline"].value == "120"
    assert shown["stack.writers"].value == '["community-node-user-api", "community-node-bootstrap"]'


def test_secrets_are_masked_everywhere(project: Project) -> None:
    loaded = project.load(SECRETS)
    shown = {one.path: one for one in effective(loaded)}
    everything = json.dumps(document(loaded)) + "".join(one.value for one in shown.values())
    for secret in ("correct-horse", "battery-staple", "tr0ub4dor", "t-o-k-e-n"):
        assert secret not in everything
    assert "correct-horse" not in repr(loaded)
    assert shown["stack.postgres.password"].value == MASK
    assert shown["stack.embedded.services"].data["a"]["environment"] == {"API_TOKEN": MASK, "PLAIN": "seen"}


def test_password_is_masked_in_all_output_once_it_is_loaded(project: Project) -> None:
    project.load(SECRETS)
    assert mask("the server said correct-horse") == f"the server said {MASK}"


def test_control_characters_are_shown_escaped(project: Project) -> None:
    loaded = project.load({}, {"drill.seed": ("--seed", ["a\x1b[31m"])})
    (seed,) = [one for one in effective(loaded) if one.path == "drill.seed"]
    assert seed.value == '["a\\u001b[31m"]'


def test_document_is_json_with_typed_values(project: Project) -> None:
    project.write("backup: {generations: 7}\n")
    shown = json.loads(json.dumps(document(project.load())))
    assert shown["file"] == str(project.file)
    assert shown["root"] == str(project.folder)
    assert shown["warnings"] == []
    assert shown["settings"]["backup.generations"] == {
        "value": 7,
        "source": "cn_ops.yaml:1",
        "environment": "CN_OPS_BACKUP__GENERATIONS",
    }
    assert shown["settings"]["drill.seed"]["value"] == ["cn", "e2e", "seed"]
    assert document(Project(project.folder.parent).load())["file"] is None


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_schema_names_its_dialect_and_describes_every_setting() -> None:
    schema = json_schema()
    assert list(schema)[:2] == ["$schema", "title"]
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(schema)) == schema
    for leaf in leaves():
        part: dict[str, Any] = schema
        for key in leaf.keys:
            part = part["properties"][key]
            part = schema["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part
        assert part["description"], leaf.path
    for one in (schema, *schema["$defs"].values()):
        assert one["additionalProperties"] is False


def test_example_of_a_real_node_fits_the_schema(validator: Draft202012Validator) -> None:
    validator.validate(yaml.safe_load(EXAMPLE.read_text(encoding="utf-8")))


def test_defaults_fit_the_schema(project: Project, validator: Draft202012Validator) -> None:
    for path, entry in document(project.load())["settings"].items():
        tree: Any = entry["value"]
        for key in reversed(path.split(".")):
            tree = {key: tree}
        validator.validate(tree)


@pytest.mark.parametrize(
    "tree",
    [
        {"backup": {"generations": 0}},
        {"backup": {"generations": "5"}},
        {"backup": {"generation": 5}},
        {"backup": {"compress": 10}},
        {"backup": {"compress": "best"}},
        {"stack": {"kind": "kvm"}},
        {"stack": {"writers": []}},
        {"stack": {"embedded": {"services": {"a": {}}}}},
        {"stack": {"embedded": {"services": {"a b": {"command": ["x"]}}}}},
        {"application": {"deadline": 0}},
        {"drill": {"count_table": "events"}},
        {"drill": {"seed": []}},
        {"state": None},
        {"generations": 3},
    ],
)
def test_schema_refuses_what_the_loader_refuses(
    project: Project, validator: Draft202012Validator, tree: dict[str, Any]
) -> None:
    assert not validator.is_valid(tree)
    assert project.write(yaml.safe_dump(tree)).problems()


@pytest.mark.parametrize(
    "text",
    ["backup: {compress: 9}", "backup: {compress: '9'}", "drill: {seed: null}", "application: {deadline: 0.5}"],
)
def test_schema_takes_what_the_loader_takes(project: Project, validator: Draft202012Validator, text: str) -> None:
    project.write(text).load()
    validator.validate(yaml.safe_load(text))
