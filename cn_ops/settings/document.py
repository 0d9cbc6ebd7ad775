"""Settings from YAML, read along the schema, with the line of every value.

A plain word is read by the kind of its setting, not by YAML's rules: `compress: 9`, `database: 010` and
`prefix: no` are texts, and `generations: 010` is ten. The schema also bounds how deep a document is read, so
aliases cannot make it grow.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from cn_ops.settings.fields import ROOT, Keys, Kind, Shape, dotted, leaf_paths
from cn_ops.settings.given import Given, Place, Problem
from cn_ops.settings.nodes import Refused, parse
from cn_ops.settings.text import NULLS, Unfit, scalar, unfit

_STANDARD_TAG = "tag:yaml.org,2002:"
_KNOWN_TAGS = frozenset(
    _STANDARD_TAG + name
    for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge", "value")
)


def read_document(text: str, where: str) -> Given:
    """Read a settings file; ``where`` is its name in messages. What is wrong with it is among the problems."""
    given = Given()
    try:
        node = parse(text)
    except Refused as error:
        given.problems.append(Problem((), error.message, Place(where, error.line)))
        return given
    if node is not None:
        reader = Reader(given, lambda node: Place(where, node.start_mark.line + 1))
        reader.refuse_repeated_keys(node)
        reader.section(node, ROOT, ())
    return given


@dataclass
class Reader:
    """Reads nodes along a shape into ``given``; ``place`` tells where a node stands."""

    given: Given
    place: Callable[[Node], Place]
    _flat: set[int] = field(default_factory=set)

    def section(self, node: Node, shape: Shape, keys: tuple[str, ...]) -> None:
        """Read a section's settings, each by its own shape."""
        if _is_null(node):  # `backup:` with everything under it commented out
            return
        if not isinstance(node, MappingNode):
            self._problem(keys, f"must be {'a mapping of settings' if keys else 'a mapping at the top'}", node)
            return
        fields = shape.fields()
        for key_node, value_node in self._pairs(node, keys):
            name = self._key(key_node, keys)
            if name is None:
                continue
            inner = fields.get(name)
            if inner is None:
                self._problem((*keys, name), unknown((*keys, name), tuple(fields)), key_node)
            elif inner.kind is Kind.SECTION and not inner.optional:
                self.section(value_node, inner, (*keys, name))
            else:
                self.setting(value_node, inner, (*keys, name), self.place(key_node))

    def setting(self, node: Node, shape: Shape, keys: tuple[str, ...], place: Place) -> None:
        """Read one setting; it is left out when something in it is wrong."""
        before = len(self.given.problems)
        self.given.places[keys] = place
        value = self._value(node, shape, keys)
        if len(self.given.problems) == before:
            self.given.values[keys] = value

    def _value(self, node: Node, shape: Shape, keys: Keys) -> object:
        if node.tag not in _KNOWN_TAGS:
            return self._problem(keys, "has a YAML tag (!…) that is not supported; a text with ! needs quotes", node)
        self.given.places.setdefault(keys, self.place(node))
        if shape.optional and _is_null(node):
            return None
        if shape.kind is Kind.LIST and isinstance(node, SequenceNode) and shape.item:
            item = shape.item
            return [self._value(one, item, (*keys, position)) for position, one in enumerate(node.value)]
        if shape.kind in (Kind.MAPPING, Kind.SECTION) and isinstance(node, MappingNode):
            return self._mapping(node, shape, keys)
        if isinstance(node, ScalarNode):
            return self._scalar(node, shape, keys)
        return self._problem(keys, str(unfit(shape, [] if isinstance(node, SequenceNode) else {})), node)

    def _scalar(self, node: ScalarNode, shape: Shape, keys: Keys) -> object:
        is_plain = node.style is None
        try:
            if is_plain and _is_null(node):
                raise unfit(shape, None)
            value = scalar(node.value, shape)
        except Unfit as error:
            return self._problem(keys, str(error), node)
        if not is_plain and not isinstance(value, str):
            return self._problem(keys, f"{unfit(shape, node.value)}: take the quotes away", node)
        return value

    def _mapping(self, node: MappingNode, shape: Shape, keys: Keys) -> dict[str, object]:
        fields = shape.fields()
        found: dict[str, object] = {}
        for key_node, value_node in self._pairs(node, keys):
            name = self._key(key_node, keys)
            inner = shape.item or fields.get(name or "")
            if name is not None and inner is None:
                self._problem((*keys, name), unknown((*keys, name), tuple(fields)), key_node)
            elif name is not None and inner is not None:
                found[name] = self._value(value_node, inner, (*keys, name))
        return found

    def _pairs(self, node: MappingNode, keys: Keys) -> list[tuple[Node, Node]]:
        """Return what a mapping holds, what it merges (`<<`) included."""
        if id(node) not in self._flat:
            self._flat.add(id(node))
            try:
                yaml.constructor.SafeConstructor().flatten_mapping(node)
            except (yaml.MarkedYAMLError, RecursionError):
                self._problem(keys, "can merge (<<) only mappings", node)
                return []
        return list(node.value)

    def _key(self, node: Node, keys: Keys) -> str | None:
        if isinstance(node, ScalarNode):
            return str(node.value)
        self._problem(keys, "must have names for keys", node)
        return None

    def refuse_repeated_keys(self, root: Node) -> None:
        """Report every key that a mapping holds twice: YAML would silently take the last one."""
        seen: set[int] = set()
        waiting: list[tuple[Node, Keys]] = [(root, ())]
        while waiting:
            node, keys = waiting.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, SequenceNode):
                waiting += [(one, (*keys, position)) for position, one in enumerate(node.value)]
            elif isinstance(node, MappingNode):
                waiting += self._unrepeated(node, keys)

    def _unrepeated(self, node: MappingNode, keys: Keys) -> list[tuple[Node, Keys]]:
        first: dict[str, Node] = {}
        inside: list[tuple[Node, Keys]] = []
        for key_node, value_node in node.value:
            name = str(key_node.value) if isinstance(key_node, ScalarNode) else ""
            if name in first and name:
                line = self.place(first[name]).line
                self._problem((*keys, name), f"is there twice, first on line {line}", key_node)
            first.setdefault(name, key_node)
            inside.append((value_node, (*keys, name)))
        return inside

    def _problem(self, keys: Keys, message: str, node: Node) -> Any:
        self.given.problems.append(Problem(keys, message, self.place(node)))
        return None


def _is_null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.style is None and node.value.lower() in NULLS


def unknown(keys: Keys, beside: tuple[str, ...]) -> str:
    """Say that there is no such setting, and which one was probably meant."""
    here = [dotted((*keys[:-1], name)) for name in beside]
    # First among its neighbours, then anywhere: a setting may stand in the wrong section.
    near = difflib.get_close_matches(dotted(keys), here, n=1, cutoff=0.6)
    if not near:
        same = [path for path in leaf_paths() if path.rpartition(".")[2] == str(keys[-1])]
        near = same or difflib.get_close_matches(dotted(keys), leaf_paths(), n=1, cutoff=0.6)
    known = f"; did you mean {near[0]}?" if near else f"; known here: {', '.join(beside)}"
    return f"unknown setting{known}"
