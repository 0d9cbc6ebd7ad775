"""What a refused value is told to people: our own words, and never a secret."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import ErrorDetails

from cn_ops.settings.document import unknown
from cn_ops.settings.fields import Keys, Kind, Shape, shape_at
from cn_ops.settings.given import shown
from cn_ops.settings.text import expected
from cn_ops.settings.types import SAID, Meaning

Wording = Callable[[Mapping[str, Any], Shape], str]

_NOT_ITS_KIND = (
    "string_type",
    "string_sub_type",
    "int_type",
    "int_from_float",
    "float_type",
    "finite_number",
    "bool_type",
    "path_type",
    "tuple_type",
    "dict_type",
    "model_type",
    "model_attributes_type",
    "literal_error",
)

_LIMITS: dict[str, Wording] = {
    "greater_than": lambda context, _: f"must be > {context['gt']:g}",
    "greater_than_equal": lambda context, _: f"must be ≥ {context['ge']}",
    "less_than_equal": lambda context, _: f"must be ≤ {context['le']:g}",
    "string_too_long": lambda context, _: f"must be at most {context['max_length']} characters long",
    "string_pattern_mismatch": lambda _, shape: f"must be {_meaning(shape)}",
}

# What these say is complete without the value.
_WHOLE: dict[str, Wording] = {
    SAID: lambda context, _: str(context["message"]),
    "too_short": lambda _, __: "must not be empty",
    "missing": lambda _, __: "is missing, and has no default",
    "string_unicode": lambda _, shape: f"must be {expected(shape)} in UTF-8",
}


def explain(error: ErrorDetails) -> tuple[Keys, str]:
    """Return the path and the message of what the schema refused."""
    keys, kind = tuple(error["loc"]), error["type"]
    if kind == "extra_forbidden":
        return keys, unknown(keys, tuple(shape_at(keys[:-1]).fields()))
    shape = shape_at(keys)
    # The name of a service or a variable is refused at the mapping that it is a key of.
    keys = keys[:-1] if keys[-1:] == ("[key]",) else keys
    return keys, _message(kind, error.get("ctx", {}), error["input"], shape)


def _message(kind: str, context: Mapping[str, Any], value: object, shape: Shape) -> str:
    if kind in _WHOLE:
        return _WHOLE[kind](context, shape)
    got = f", got {shown(value, shape.kind)}" if shape.kind is not Kind.SECRET else ""
    if kind in _LIMITS:
        return _LIMITS[kind](context, shape) + got
    if kind in _NOT_ITS_KIND:
        null = " or null" if shape.optional else ""
        return f"must be {expected(shape)}{null}{got}"
    return f"cannot be used{got}"


def _meaning(shape: Shape) -> str:
    return next((one.text for one in shape.metadata if isinstance(one, Meaning)), expected(shape))
