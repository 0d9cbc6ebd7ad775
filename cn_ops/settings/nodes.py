"""One YAML document as nodes with their lines; whatever is wrong with it is said without showing any of it."""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.nodes import Node

# Twice as deep as the settings are.
DEEPEST = 16


class Refused(Exception):
    """The text is not one YAML document; ``line`` is where, if that is known."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


class _Loader(yaml.SafeLoader):
    """Composes nodes, and stops at a depth that no settings have: going deep takes PyYAML very long."""

    depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        self.depth += 1
        if self.depth > DEEPEST:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise Refused("is nested too deeply", mark.line + 1)
        node: Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


def parse(text: str) -> Node | None:
    """Return the one document of a text as nodes; None when it is empty.

    Raises ``Refused``.
    """
    try:
        return _composed(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Refused(f"the character U+{_code(error.character):04X} cannot stand in YAML", line) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Refused(_explained(error), mark.line + 1 if mark else None) from None


def _code(character: int | str | bytes) -> int:
    return character if isinstance(character, int) else ord(character)


def _composed(text: str) -> Node | None:
    loader = _Loader(text)
    try:
        node: Node | None = loader.get_single_node()
    finally:
        loader.dispose()
    return node


def _explained(error: yaml.MarkedYAMLError) -> str:
    """Say what is wrong without showing any of the text, which may be a secret."""
    problem = error.problem or ""
    if "undefined alias" in problem:
        return "is not YAML: an alias (*…) has no anchor; a text that begins with * needs quotes"
    if "single document" in (error.context or ""):
        return "holds more than one YAML document"
    # Only one character and the parser's own words for a thing, such as '<block end>', stay quoted.
    problem = re.sub(r"'[^']*'|\"[^\"]*\"", lambda quoted: quoted[0] if _is_harmless(quoted[0]) else "…", problem)
    return f"is not YAML: {problem}"


def _is_harmless(quoted: str) -> bool:
    return re.fullmatch(r"'(\\?.|<[a-z ]+>)'", quoted) is not None
