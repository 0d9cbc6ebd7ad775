"""Values from text: the same rules for a plain word in the file, for a variable and for an option."""

from __future__ import annotations

import re

from cn_ops.settings.fields import Kind, Shape
from cn_ops.settings.given import shown

# ASCII digits only, and no more than any setting can need: int() is slow on a long text.
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,18}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?")
TRUE, FALSE = ("true", "yes", "on"), ("false", "no", "off")
NULLS = ("", "null", "~")

EXPECTED = {
    Kind.TEXT: "text",
    Kind.SECRET: "text",
    Kind.PATH: "a path",
    Kind.INTEGER: "a whole number",
    Kind.NUMBER: "a number",
    Kind.BOOLEAN: "true or false",
    Kind.LIST: "a list",
    Kind.MAPPING: "a mapping",
    Kind.SECTION: "a mapping of settings",
}


class Unfit(ValueError):
    """A value is not of its setting's kind; the message completes "backup.generations: …"."""


def expected(shape: Shape) -> str:
    """Say what a setting must be, as far as its kind goes."""
    if shape.kind is Kind.CHOICE:
        choices = ", ".join(shape.choices)
        return f"one of {choices}" if len(shape.choices) > 1 else choices
    return EXPECTED[shape.kind]


def unfit(shape: Shape, value: object) -> Unfit:
    """Say what a setting must be and what was given instead."""
    null = " or null" if shape.optional else ""
    return Unfit(f"must be {expected(shape)}{null}, got {shown(value, shape.kind)}")


def scalar(text: str, shape: Shape) -> object:
    """Read a scalar; text settings take it as it stands, `9` and `no` included.

    Raises ``Unfit``.
    """
    if shape.kind is Kind.INTEGER and _INTEGER.fullmatch(text):
        return int(text)
    if shape.kind is Kind.NUMBER and _NUMBER.fullmatch(text):
        return float(text)
    if shape.kind is Kind.BOOLEAN and text.lower() in (*TRUE, *FALSE):
        return text.lower() in TRUE
    if shape.kind in (Kind.INTEGER, Kind.NUMBER, Kind.BOOLEAN, Kind.LIST, Kind.MAPPING, Kind.SECTION):
        raise unfit(shape, text)
    if not _is_unicode(text):
        raise Unfit(f"must be {expected(shape)} in UTF-8")
    return text


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a byte of the environment that is not UTF-8
        return False
    return True
