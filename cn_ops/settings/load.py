"""Settings in effect: defaults, the file, the environment and options, each over the one before."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from cn_ops.errors import SettingsError
from cn_ops.masking import mask, remember
from cn_ops.settings.document import read_document, unknown
from cn_ops.settings.environment import read_environment, read_old_names, read_text
from cn_ops.settings.fields import Kind, Shape, leaf_paths, leaves
from cn_ops.settings.find import find_file, find_root, read_file, shown_name
from cn_ops.settings.given import Given, Place, Problem
from cn_ops.settings.messages import explain
from cn_ops.settings.schema import Settings

DEFAULT = "default"
NO_OPTIONS: Mapping[str, tuple[str, object]] = MappingProxyType({})

_BASE_URL = ("application", "base_url")
_SECRETS = (("stack", "postgres", "password"), ("stack", "server", "dsn"))

ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True)
class Loaded:
    """Settings with where they come from.

    ``root`` is the folder that relative paths start from · ``sources`` says for every setting, by its path,
    who set it: `default`, `cn_ops.yaml:7`, `environment CN_OPS_STATE` or `option --stack`.
    """

    settings: Settings
    root: Path
    file: Path | None
    sources: Mapping[str, str]
    warnings: tuple[str, ...]


def load(cwd: Path, environment: Mapping[str, str], options: Mapping[str, tuple[str, object]] = NO_OPTIONS) -> Loaded:
    """Load the settings for a command that runs in ``cwd``.

    ``options`` holds, by a setting's path, the option as it was typed and its value. Every path in the result
    is absolute: an option's path starts from ``cwd``, all others from the root. Raises ``SettingsError`` with
    everything that is wrong.
    """
    cwd = cwd.absolute()
    file = find_file(cwd, environment)
    root = find_root(cwd, file)
    given = Given()
    if file is not None:
        name = shown_name(cwd, file)
        given.override(read_document(read_file(file, name), name))
    new, typed = read_environment(environment), _read_options(options, cwd)
    base_url_is_set = any(_BASE_URL in source.values for source in (given, new, typed))
    for source in (read_old_names(environment, base_url_is_set=base_url_is_set), new, typed):
        given.override(source)
    settings = _validated(given)
    if settings.stack.postgres.password is not None:
        remember(settings.stack.postgres.password.get_secret_value())
    return Loaded(
        settings=_absolute(settings, root),
        root=root,
        file=file,
        sources=_sources(given),
        warnings=(*given.warnings, *_open_secrets(given, file)),
    )


def _read_options(options: Mapping[str, tuple[str, object]], cwd: Path) -> Given:
    given = Given()
    for path, (option, value) in options.items():
        place = Place(f"option {option}")
        leaf = leaf_paths().get(path)
        if leaf is None:
            given.problems.append(Problem((path,), unknown((path,), ()), place))
            continue
        if isinstance(value, str):
            read_text(given, leaf, value, place)
        else:
            given.values[leaf.keys], given.places[leaf.keys] = value, place
        if leaf.keys in given.values:
            given.values[leaf.keys] = _from(cwd, leaf.shape, given.values[leaf.keys])
    return given


def _from(folder: Path, shape: Shape, value: object) -> object:
    """Let the relative paths of a value start from a folder."""
    if shape.kind is Kind.LIST and shape.item and isinstance(value, list | tuple):
        return [_from(folder, shape.item, one) for one in value]
    if shape.kind is Kind.PATH and isinstance(value, str | Path) and str(value) and not str(value).startswith("~"):
        return folder / value
    return value


def _validated(given: Given) -> Settings:
    """Make settings of what is given; raises ``SettingsError`` with every problem of every source."""
    problems = list(given.problems)
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(_nested(given.values))
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            keys, message = explain(detail)
            problems.append(Problem(keys, message, given.place_of(keys)))
    if problems or settings is None:
        raise SettingsError(list(dict.fromkeys(str(problem) for problem in sorted(problems, key=_order))))
    return settings


def _order(problem: Problem) -> tuple[int, str]:
    """Sort by the line in the file, then what has none by its text."""
    line = problem.place.line if problem.place else None
    return (line, "") if line is not None else (1 << 30, str(problem))


def _nested(values: Mapping[tuple[str, ...], object]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for keys, value in values.items():
        branch = tree
        for key in keys[:-1]:
            branch = branch.setdefault(key, {})
        branch[keys[-1]] = value
    return tree


def _absolute(model: ModelT, root: Path) -> ModelT:
    """Return a copy whose paths are absolute, and which still knows what was set and what is a default."""
    values = {name: _absolute_value(getattr(model, name), root) for name in type(model).model_fields}
    return type(model).model_construct(_fields_set=set(model.model_fields_set), **values)


def _absolute_value(value: Any, root: Path) -> Any:
    if isinstance(value, Path):
        return root / value
    if isinstance(value, BaseModel):
        return _absolute(value, root)
    if isinstance(value, tuple):
        return tuple(_absolute_value(one, root) for one in value)
    if isinstance(value, dict):
        return {key: _absolute_value(one, root) for key, one in value.items()}
    return value


def _sources(given: Given) -> Mapping[str, str]:
    places = {leaf.path: given.places[leaf.keys] for leaf in leaves() if leaf.keys in given.values}
    sources = {leaf.path: places[leaf.path].source if leaf.path in places else DEFAULT for leaf in leaves()}
    return MappingProxyType(sources)


def _open_secrets(given: Given, file: Path | None) -> Iterator[str]:
    """Warn of each password in a file that others can read."""
    for keys in _SECRETS:
        place, value = given.places.get(keys), given.values.get(keys)
        if file is None or place is None or place.line is None or not isinstance(value, str):
            continue
        if keys[-1] == "dsn" and mask(value) == value:  # it holds no password
            continue
        if file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            leaf = leaf_paths()[".".join(keys)]
            yield f"{place} holds {leaf.path} and others can read it: `chmod 600 {file}`, or set {leaf.environment}"
