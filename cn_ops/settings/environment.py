"""Settings from the environment: `CN_OPS_BACKUP__GENERATIONS=5`, and the names of the old script."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from yaml.nodes import Node

from cn_ops.settings.document import Reader
from cn_ops.settings.fields import ENVIRONMENT_PREFIX, SEPARATOR, Kind, Leaf, leaf_paths, leaves, visible
from cn_ops.settings.given import Given, Place, Problem, shown
from cn_ops.settings.nodes import Refused, parse
from cn_ops.settings.schema import MOST_GENERATIONS
from cn_ops.settings.text import NULLS, Unfit, scalar, unfit

CONFIG = "CN_OPS_CONFIG"
OLD_GENERATIONS = "COMMUNITY_NODE_BACKUP_GENERATIONS"
OLD_BASE_URL = "COMMUNITY_NODE_BASE_URL"
OLD_PORT = "COMMUNITY_NODE_USER_API_PORT"
OLD_TOPIC = "E2E_COMMUNITY_NODE_TOPIC_NAME"

OLD_NAMES = {
    OLD_GENERATIONS: "backup.generations; not a whole number ≥ 1: a warning, and it counts as not set",
    OLD_BASE_URL: "application.base_url",
    OLD_PORT: "application.base_url becomes `http://127.0.0.1:PORT`, unless that is set in any other way",
    OLD_TOPIC: "drill.topic",
}


def read_environment(environment: Mapping[str, str]) -> Given:
    """Read the variables that set something; one that looks like it and is unknown is a problem."""
    given = Given()
    by_name = {leaf.environment: leaf for leaf in leaves()}
    for name, text in sorted(environment.items()):
        leaf = by_name.get(name)
        if leaf is not None:
            read_text(given, leaf, text, Place(f"environment {name}"))
        elif _is_meant(name):
            given.problems.append(Problem((), _unknown(name, tuple(by_name))))
    return given


def read_text(given: Given, leaf: Leaf, text: str, place: Place) -> None:
    """Read one setting from a variable or an option; lists and mappings are YAML."""
    given.places[leaf.keys] = place
    if leaf.shape.optional and text in NULLS[:2]:
        given.values[leaf.keys] = None
    elif leaf.shape.kind in (Kind.LIST, Kind.MAPPING):
        _read_yaml(given, leaf, text, place)
    else:
        try:
            given.values[leaf.keys] = scalar(_as_word(text) if leaf.shape.kind is Kind.BOOLEAN else text, leaf.shape)
        except Unfit as error:
            given.problems.append(Problem(leaf.keys, str(error), place))


def _as_word(text: str) -> str:
    return {"1": "true", "0": "false"}.get(text, text)


def _read_yaml(given: Given, leaf: Leaf, text: str, place: Place) -> None:
    def everywhere(_: Node) -> Place:
        return place

    try:
        node = parse(text)
    except Refused as error:
        given.problems.append(Problem(leaf.keys, f"{error.message}; write it as [a, b] or {{a: b}}", place))
        return
    if node is None:
        given.problems.append(Problem(leaf.keys, str(unfit(leaf.shape, None)), place))
        return
    reader = Reader(given, everywhere)
    reader.refuse_repeated_keys(node)
    reader.setting(node, leaf.shape, leaf.keys, place)


def _is_meant(name: str) -> bool:
    """Whether a variable looks like a setting: other CN_OPS_ ones choose images and the like."""
    if not name.startswith(ENVIRONMENT_PREFIX) or name == CONFIG:
        return False
    rest = name.removeprefix(ENVIRONMENT_PREFIX)
    sections = {leaf.keys[0].upper() for leaf in leaves() if len(leaf.keys) > 1}
    # One underscore where two are needed must not be passed over in silence.
    return SEPARATOR in rest or rest.partition("_")[0] in sections


def _unknown(name: str, known: tuple[str, ...]) -> str:
    inside = [one for one in known if one.startswith(name + SEPARATOR)]
    rests = [one.removeprefix(ENVIRONMENT_PREFIX) for one in known]
    near = difflib.get_close_matches(name.removeprefix(ENVIRONMENT_PREFIX), rests, n=1, cutoff=0.6)
    meant = inside or [ENVIRONMENT_PREFIX + one for one in near]
    return f"{visible(name)}: unknown variable; " + (
        f"did you mean {meant[0]}?" if meant else "`inv config` lists the settings"
    )


def read_old_names(environment: Mapping[str, str], *, base_url_is_set: bool) -> Given:
    """Read the variables of the old script; empty ones count as not set."""
    given = Given()
    for name, path in ((OLD_BASE_URL, "application.base_url"), (OLD_TOPIC, "drill.topic")):
        if text := environment.get(name):
            read_text(given, leaf_paths()[path], text, Place(f"environment {name}"))
    if text := environment.get(OLD_GENERATIONS):
        _read_generations(given, text)
    if text := environment.get(OLD_PORT):
        _read_port(given, text, base_url_is_set=base_url_is_set)
    return given


def _read_generations(given: Given, text: str) -> None:
    """Take the number of generations, or warn, as the old script did, and leave it at what is set otherwise."""
    number = int(text) if re.fullmatch(r"\s*\+?[0-9]{1,18}\s*", text, re.ASCII) else 0
    if not 1 <= number <= MOST_GENERATIONS:
        given.warnings.append(
            f"{OLD_GENERATIONS}: must be a whole number from 1 to {MOST_GENERATIONS}, "
            f"got {shown(text, Kind.INTEGER)}; it is passed over"
        )
        return
    keys = leaf_paths()["backup.generations"].keys
    given.values[keys] = number
    given.places[keys] = Place(f"environment {OLD_GENERATIONS}")


def _read_port(given: Given, text: str, *, base_url_is_set: bool) -> None:
    keys, place = leaf_paths()["application.base_url"].keys, Place(f"environment {OLD_PORT}")
    port = int(text) if re.fullmatch(r"[0-9]{1,5}", text, re.ASCII) else 0
    if not 1 <= port <= 65535:
        message = f"{OLD_PORT}: must be a port from 1 to 65535, got {shown(text, Kind.INTEGER)}"
        given.problems.append(Problem((), message))
    elif not base_url_is_set and keys not in given.values:
        given.values[keys] = f"http://127.0.0.1:{port}"
        given.places[keys] = place
