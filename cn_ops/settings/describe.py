"""Settings for people and for programs: what `inv config` shows, as text, as JSON and as a JSON Schema."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from cn_ops.masking import MASK, mask
from cn_ops.settings.fields import leaves
from cn_ops.settings.load import Loaded
from cn_ops.settings.schema import Settings

DIALECT = "https://json-schema.org/draft/2020-12/schema"

# A service's environment is free: names like these hold what must not be shown.
_SECRET_NAME = re.compile(r"pass|secret|token|key|credential", re.IGNORECASE)


@dataclass(frozen=True)
class Setting:
    """A setting in effect; ``value`` is for people, ``data`` the same for JSON, secrets masked in both."""

    path: str
    value: str
    data: Any
    source: str
    environment: str
    description: str


def effective(loaded: Loaded) -> tuple[Setting, ...]:
    """Return every setting that is in effect, in the schema's order."""
    return tuple(_setting(loaded, leaf.path, leaf.environment, leaf.field.description or "") for leaf in leaves())


def _setting(loaded: Loaded, path: str, environment: str, description: str) -> Setting:
    value: Any = loaded.settings
    for name in path.split("."):
        value = getattr(value, name)
    data = _plain(value)
    return Setting(path, as_text(data), data, loaded.sources[path], environment, description)


def document(loaded: Loaded) -> dict[str, Any]:
    """Return the settings in effect as one JSON document."""
    return {
        "file": str(loaded.file) if loaded.file else None,
        "root": str(loaded.root),
        "settings": {setting.path: _entry(setting) for setting in effective(loaded)},
        "warnings": list(loaded.warnings),
    }


def _entry(setting: Setting) -> dict[str, Any]:
    entry = asdict(setting)
    return {"value": entry["data"], "source": entry["source"], "environment": entry["environment"]}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of cn_ops.yaml, for editors."""
    schema = Settings.model_json_schema()
    _close_mappings(schema)
    head = {"$schema": DIALECT, "title": "cn_ops.yaml", "description": "Settings of cn-ops."}
    return {**head, **{name: part for name, part in schema.items() if name not in head}}


def _close_mappings(schema: object) -> None:
    """Let a mapping have only the keys that its pattern allows: pydantic leaves the others free."""
    if isinstance(schema, dict):
        if "patternProperties" in schema:
            schema["additionalProperties"] = False
        for part in schema.values():
            _close_mappings(part)


def as_text(data: object) -> str:
    """Write a value on one line, as it could stand in the file."""
    if isinstance(data, str) and data.isprintable() and data.strip() == data and data:
        return data
    return json.dumps(data, ensure_ascii=False)


def _plain(value: object) -> Any:
    """Return a value as JSON has it, with secrets masked."""
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, str | Path):
        return mask(str(value))
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {key: _hidden(str(key), one) for key, one in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _hidden(name: str, value: object) -> Any:
    return MASK if isinstance(value, str) and value and _SECRET_NAME.search(name) else _plain(value)
