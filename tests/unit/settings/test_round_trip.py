"""The same values, given in any way, are the same settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from annotated_types import Ge, Le
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, StringConstraints, TypeAdapter, ValidationError
from pydantic_core import PydanticUndefined

from cn_ops.settings.fields import Kind, Leaf, Shape, leaves
from cn_ops.settings.load import Loaded, load

PATHS = st.from_regex(r"/[^\x00-\x1f\x7f]{0,20}", fullmatch=True).filter(lambda text: text.isprintable())
URLS = st.builds(
    "{}://{}{}".format, st.sampled_from(["http", "https"]), st.sampled_from(["a.b", "[::1]"]), st.just(":1/x")
)


def values(shape: Shape) -> st.SearchStrategy[Any]:
    """Make values of a shape, from nothing but the schema."""
    made = _values(shape)
    return st.none() | made if shape.optional else made


def _values(shape: Shape) -> st.SearchStrategy[Any]:
    if shape.kind is Kind.LIST and shape.item:
        # Sections are mappings, which a set cannot hold.
        return st.lists(values(shape.item), min_size=1, max_size=3, unique_by=repr)
    if shape.kind is Kind.MAPPING and shape.item and shape.key:
        return st.dictionaries(values(shape.key), values(shape.item), max_size=2)
    if shape.kind is Kind.SECTION:
        return st.fixed_dictionaries({name: values(inner) for name, inner in shape.fields().items()})
    return {
        Kind.TEXT: _texts(shape),
        Kind.SECRET: st.text(st.characters(exclude_categories=["C"]), min_size=1).filter(lambda text: text != "null"),
        Kind.PATH: PATHS,
        Kind.INTEGER: _integers(shape),
        Kind.NUMBER: _numbers(shape),
        Kind.BOOLEAN: st.booleans(),
        Kind.CHOICE: st.sampled_from(shape.choices or ("",)),
    }[shape.kind]


def _integers(shape: Shape) -> st.SearchStrategy[int]:
    least = next((one.ge for one in shape.metadata if isinstance(one, Ge)), 1)
    most = next((one.le for one in shape.metadata if isinstance(one, Le)), 65_535)
    assert isinstance(least, int)
    assert isinstance(most, int)
    return st.integers(max(1, least), min(most, 65_535))


def _numbers(shape: Shape) -> st.SearchStrategy[int | float]:
    most = next((one.le for one in shape.metadata if isinstance(one, Le)), 86_400)
    assert isinstance(most, int | float)
    return st.integers(1, int(most)) | st.floats(1e-9, most)


def _texts(shape: Shape) -> st.SearchStrategy[str]:
    pattern = next((one.pattern for one in shape.metadata if isinstance(one, StringConstraints)), None)
    if not isinstance(pattern, str):
        return st.nothing()
    if pattern.startswith("^http"):
        return URLS
    checked = TypeAdapter(Annotated[(str, *shape.metadata)])
    texts = st.from_regex(pattern.removesuffix("$") + r"\Z", fullmatch=True)

    def is_accepted(text: str) -> bool:
        try:
            text.encode()
            checked.validate_python(text)
        except (ValidationError, UnicodeEncodeError):
            return False
        return len(text) < 40

    return texts.filter(is_accepted)


def some_settings() -> st.SearchStrategy[dict[str, Any]]:
    """Any of the settings, by path."""
    made = {leaf.path: values(leaf.shape) for leaf in leaves()}
    return (
        st.lists(st.sampled_from(sorted(made)), unique=True, max_size=8)
        .flatmap(lambda paths: st.fixed_dictionaries({path: made[path] for path in paths}))
        .filter(_fits_together)
    )


def _fits_together(chosen: Mapping[str, Any]) -> bool:
    first = "community-node-postgres", ["community-node-user-api", "community-node-bootstrap"]
    commands = ("drill.seed", "drill.invite", "drill.cleanup", "stack.server.stop", "stack.server.start")
    program = all(chosen.get(name) != [] for name in commands)
    begins = all((chosen.get(name) or ["x"])[0].strip() for name in commands)
    services = chosen.get("stack.embedded.services") or {}
    begins = begins and all(one["command"][0].strip() for one in services.values())
    writes = chosen.get("stack.postgres.service", first[0]) in chosen.get("stack.writers", first[1])
    pair = (chosen.get("stack.server.stop") is None) == (chosen.get("stack.server.start") is None)
    return program and begins and pair and not writes


def as_tree(chosen: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in chosen.items():
        *above, name = path.split(".")
        branch = tree
        for key in above:
            branch = branch.setdefault(key, {})
        branch[name] = value
    return tree


def as_variables(chosen: Mapping[str, Any]) -> dict[str, str]:
    by_path = {leaf.path: leaf for leaf in leaves()}
    return {by_path[path].environment: as_variable(by_path[path], value) for path, value in chosen.items()}


def as_variable(leaf: Leaf, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | dict):
        return str(yaml.safe_dump(value, default_flow_style=True))
    return str(value)


def at(loaded: Loaded, path: str) -> Any:
    value: Any = loaded.settings
    for name in path.split("."):
        value = getattr(value, name)
    return plain(value)


def plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [plain(one) for one in value]
    if hasattr(value, "model_fields_set"):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    return {key: plain(one) for key, one in value.items()} if isinstance(value, dict) else value


def normal(value: Any, kind: Kind, item: Shape | None) -> Any:
    """Write a path as pathlib does: without `//` and `/./`."""
    if kind is Kind.LIST and item and value is not None:
        return [normal(one, item.kind, item.item) for one in value]
    return str(Path(value)) if kind is Kind.PATH and value is not None else value


@settings(deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(chosen=some_settings())
def test_file_environment_and_options_give_the_same_settings(
    tmp_path_factory: pytest.TempPathFactory, chosen: dict[str, Any]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "往復 a"
    (folder / "without").mkdir(parents=True, exist_ok=True)
    file = folder / "node.yaml"
    file.write_text(yaml.safe_dump(as_tree(chosen)), encoding="utf-8")
    by_file = load(folder, {"CN_OPS_CONFIG": "node.yaml"})
    by_variable = load(folder, as_variables(chosen))
    by_option = load(folder, {}, {path: ("--it", value) for path, value in chosen.items()})

    assert by_file.settings == by_variable.settings == by_option.settings
    for leaf in leaves():
        is_chosen = leaf.path in chosen
        assert by_file.sources[leaf.path].startswith("node.yaml:" if is_chosen else "default")
        assert by_variable.sources[leaf.path] == (f"environment {leaf.environment}" if is_chosen else "default")
        assert by_option.sources[leaf.path] == ("option --it" if is_chosen else "default")
        if is_chosen:
            assert at(by_file, leaf.path) == normal(chosen[leaf.path], leaf.shape.kind, leaf.shape.item)


def test_all_defaults_written_out_are_the_defaults(tmp_path: Path) -> None:
    defaults = load(tmp_path, {})
    chosen = {leaf.path: at(defaults, leaf.path) for leaf in leaves()}
    (tmp_path / "cn_ops.yaml").write_text(yaml.safe_dump(as_tree(chosen)), encoding="utf-8")
    written = load(tmp_path, {})
    assert written.settings == defaults.settings
    assert set(written.sources.values()).isdisjoint({"default"})
    assert load(tmp_path, as_variables(chosen)).settings == defaults.settings


def test_every_setting_has_a_default_and_a_description() -> None:
    for leaf in leaves():
        assert leaf.field.get_default(call_default_factory=True) is not PydanticUndefined, leaf.path
        assert leaf.field.description, leaf.path
