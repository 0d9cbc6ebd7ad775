"""The settings as a list: every setting's path, kind and environment name, read off the schema."""

from __future__ import annotations

import types
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from cn_ops.settings.schema import Settings

ENVIRONMENT_PREFIX = "CN_OPS_"
SEPARATOR = "__"

Keys = tuple[str | int, ...]


class Kind(StrEnum):
    """What a value is, in the words of messages and of the reference."""

    TEXT = "text"
    SECRET = "secret text"  # noqa: S105 - a word for people
    PATH = "path"
    INTEGER = "whole number"
    NUMBER = "number"
    BOOLEAN = "true or false"
    CHOICE = "choice"
    LIST = "list"
    MAPPING = "mapping"
    SECTION = "section"


_SCALARS: dict[object, Kind] = {
    str: Kind.TEXT,
    SecretStr: Kind.SECRET,
    Path: Kind.PATH,
    int: Kind.INTEGER,
    float: Kind.NUMBER,
    bool: Kind.BOOLEAN,
}


@dataclass(frozen=True)
class Shape:
    """What a setting, or a part of one, may be.

    ``metadata`` is what its annotation carries: limits and a meaning. ``item`` is what a list or a mapping
    holds, ``key`` what a mapping is keyed by, ``fields`` what a section has.
    """

    kind: Kind
    optional: bool = False
    metadata: tuple[Any, ...] = ()
    choices: tuple[str, ...] = ()
    item: Shape | None = None
    key: Shape | None = None
    model: type[BaseModel] | None = None

    def fields(self) -> dict[str, Shape]:
        """Return what a section has, by name."""
        model = self.model
        return {name: shape_of(field) for name, field in model.model_fields.items()} if model else {}


@dataclass(frozen=True)
class Leaf:
    """One setting."""

    keys: tuple[str, ...]
    shape: Shape
    field: FieldInfo

    @property
    def path(self) -> str:
        """Its name in messages and in `inv config`."""
        return ".".join(self.keys)

    @property
    def environment(self) -> str:
        """The variable that sets it."""
        return ENVIRONMENT_PREFIX + SEPARATOR.join(self.keys).upper()


def shape_of(field: FieldInfo) -> Shape:
    """Return the shape of a field of a section."""
    return _shape(field.annotation, tuple(field.metadata))


def _shape(annotation: Any, metadata: tuple[Any, ...] = (), *, optional: bool = False) -> Shape:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _shape(arguments[0], (*arguments[1:], *metadata), optional=optional)
    if origin in (Union, types.UnionType):
        inner = [one for one in arguments if one is not type(None)]
        return _shape(inner[0], metadata, optional=True)
    if origin is Literal:
        return Shape(Kind.CHOICE, optional, metadata, choices=arguments)
    if origin is tuple:
        return Shape(Kind.LIST, optional, metadata, item=_shape(arguments[0]))
    if origin is dict:
        return Shape(Kind.MAPPING, optional, metadata, item=_shape(arguments[1]), key=_shape(arguments[0]))
    if annotation in _SCALARS:
        return Shape(_SCALARS[annotation], optional, metadata)
    return Shape(Kind.SECTION, optional, metadata, model=annotation)


ROOT = Shape(Kind.SECTION, model=Settings)


@cache
def leaves() -> tuple[Leaf, ...]:
    """Return every setting, in the schema's order."""
    return tuple(_leaves(Settings, ()))


@cache
def leaf_paths() -> dict[str, Leaf]:
    """Return every setting by its path."""
    return {leaf.path: leaf for leaf in leaves()}


def _leaves(model: type[BaseModel], above: tuple[str, ...]) -> list[Leaf]:
    found: list[Leaf] = []
    for name, field in model.model_fields.items():
        shape, keys = shape_of(field), (*above, name)
        if shape.kind is Kind.SECTION and shape.model is not None:
            found += _leaves(shape.model, keys)
        else:
            found.append(Leaf(keys, shape, field))
    return found


def shape_at(keys: Keys) -> Shape:
    """Return the shape of what stands at a path; pydantic marks the key of a mapping itself with `[key]`."""
    if keys[-1:] == ("[key]",):
        return shape_at(keys[:-2]).key or ROOT
    shape = ROOT
    for key in keys:
        shape = shape.item or shape.fields().get(str(key), shape)
    return shape


def dotted(keys: Keys) -> str:
    """Write a path for people: `stack.writers[1]`."""
    parts = [f"[{key}]" if isinstance(key, int) else f".{visible(key)}" for key in keys]
    return "".join(parts).removeprefix(".")


def visible(name: str) -> str:
    """Return a name as it is, or quoted when a terminal would not show it so."""
    return name if name.isprintable() else repr(name)
