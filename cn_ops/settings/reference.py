"""The reference page of the settings, made from the schema."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from cn_ops.settings.describe import as_text
from cn_ops.settings.environment import CONFIG, OLD_NAMES
from cn_ops.settings.fields import ENVIRONMENT_PREFIX, SEPARATOR, Kind, Leaf, Shape, leaves, shape_of
from cn_ops.settings.find import FILE_NAME, TASKS_NAME
from cn_ops.settings.schema import EmbeddedService, Settings
from cn_ops.settings.types import Meaning

PAGE = Path("docs/reference/settings.md")
REGENERATE = "nox -s docs -- --write"

_INTRODUCTION = f"""\
# Settings

<!-- Made from cn_ops/settings/schema.py by `{REGENERATE}`: change it there. -->

Everything has a default, so no file is needed. What is set is taken, later ones over earlier ones, from

1. the defaults below;
2. `{FILE_NAME}` in the current folder or the nearest folder above it, or the file that `{CONFIG}` names;
3. the variables of the old script (the last table);
4. variables that begin with `{ENVIRONMENT_PREFIX}`;
5. options of the command.

`inv config` shows what is in effect and where each value comes from. `inv config --schema` prints a JSON Schema:
saved beside the file, editors complete and check it with a first line
`# yaml-language-server: $schema=cn_ops.schema.json`.

Relative paths start from the folder of `{FILE_NAME}`; without one, from the nearest folder that holds a
`{TASKS_NAME}`. `~` is the home folder. The path of an option starts from the current folder.

An unknown name and a value that does not fit are errors: nothing is started, the exit code is 2, and all of them
are listed with their line. In the file a plain word is read by the type of its setting: `compress: 9` and
`prefix: no` are text. In a variable, lists and mappings are written as YAML
(`{ENVIRONMENT_PREFIX}STACK{SEPARATOR}WRITERS='[a, b]'`), and an empty value or `null` is null where null is allowed.
"""

_TABLE = "| Setting | Type | Default | Meaning |\n| --- | --- | --- | --- |\n"


def settings_page() -> str:
    """Return the page, as Markdown."""
    parts = [_INTRODUCTION]
    parts += [_section(title, text, rows) for title, text, rows in _sections()]
    parts.append(_service_section())
    parts.append(_old_names())
    return "\n".join(parts)


def _sections() -> Iterator[tuple[str, str, list[Leaf]]]:
    """Yield the sections: title, what it is about, its settings."""
    top = [leaf for leaf in leaves() if len(leaf.keys) == 1]
    yield "At the top", "", top
    yield from _below(Settings, ())


def _below(model: type[BaseModel], above: tuple[str, ...]) -> Iterator[tuple[str, str, list[Leaf]]]:
    for name, field in model.model_fields.items():
        shape, keys = shape_of(field), (*above, name)
        if shape.kind is not Kind.SECTION or shape.model is None:
            continue
        own = [leaf for leaf in leaves() if leaf.keys[:-1] == keys]
        yield f"`{'.'.join(keys)}`", inspect.getdoc(shape.model) or "", own
        yield from _below(shape.model, keys)


def _section(title: str, text: str, rows: list[Leaf]) -> str:
    lines = "".join(_row(leaf) for leaf in rows)
    about = f"{_markdown(text)}\n\n" if text else ""
    return f"## {title}\n\n{about}{_TABLE}{lines}"


def _row(leaf: Leaf) -> str:
    name = f"`{leaf.path}`<br>`{leaf.environment}`"
    default = "see below" if leaf.shape.kind is Kind.MAPPING else _default(leaf.field.get_default())
    return _cells(name, _type(leaf.shape), default, leaf.field.description or "")


def _service_section() -> str:
    rows = "".join(
        _cells(f"`{name}`", _type(shape_of(field)), _field_default(field), field.description or "")
        for name, field in EmbeddedService.model_fields.items()
    )
    about = _markdown(inspect.getdoc(EmbeddedService) or "")
    default = Settings().stack.embedded.services
    shown = "".join(
        _cells(
            f"`{name}`", f"`{as_text(list(one.command))}`", f"`{as_text(one.environment)}`", f"`{one.health_path}`"
        )
        for name, one in default.items()
    )
    return (
        f"## Each of `stack.embedded.services`\n\n{about}\n\n{_TABLE}{rows}\n"
        "The default is the demo node:\n\n"
        f"| Service | `command` | `environment` | `health_path` |\n| --- | --- | --- | --- |\n{shown}"
    )


def _old_names() -> str:
    rows = "".join(_cells(f"`{name}`", meaning) for name, meaning in OLD_NAMES.items())
    return (
        "## Variables of the old script\n\n"
        "They keep working; an empty one counts as not set.\n\n"
        f"| Variable | What it sets |\n| --- | --- |\n{rows}"
    )


def _type(shape: Shape) -> str:
    """Say what a setting may be, from its annotation alone."""
    null = "; or null" if shape.optional else ""
    if shape.kind is Kind.CHOICE:
        return " or ".join(f"`{choice}`" for choice in shape.choices) + null
    if shape.kind is Kind.LIST and shape.item:
        return f"list, each {_type(shape.item)}{null}"
    if shape.kind is Kind.MAPPING and shape.item:
        return f"mapping from names, each to {_type(shape.item)}{null}"
    if shape.kind is Kind.SECTION:
        return "a mapping of settings, see below"
    meaning = next((one.text for one in shape.metadata if isinstance(one, Meaning)), "")
    return (meaning or shape.kind) + _limits(shape) + null


def _limits(shape: Shape) -> str:
    signs = (("gt", ">"), ("ge", "≥"), ("le", "≤"))
    found = [
        f"{sign} {limit:g}" if isinstance(limit, float) else f"{sign} {limit}"
        for attribute, sign in signs
        for limit in (getattr(one, attribute, None) for one in shape.metadata)
        if limit is not None
    ]
    return f" {', '.join(found)}" if found else ""


def _field_default(field: Any) -> str:
    if field.is_required():
        return "none: it is needed"
    return _default(field.get_default(call_default_factory=True))


def _default(value: object) -> str:
    if value is PydanticUndefined:
        return "none: it is needed"
    if isinstance(value, tuple):
        value = [str(one) for one in value]
    return f"`{as_text(str(value) if isinstance(value, Path) else value)}`"


def _cells(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _markdown(text: str) -> str:
    return text.replace("``", "`")
