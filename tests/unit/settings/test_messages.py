"""What each type refuses, in words for people, and never with a secret."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cn_ops.errors import SettingsError
from cn_ops.settings.fields import Kind, leaf_paths, leaves
from cn_ops.settings.load import load
from tests.unit.settings.conftest import Project

A_NAME = "a name: at most 63 bytes, without control characters"
A_URL_THAT_WORKS = "must be a URL whose host and port (1 to 65535) can be used"
NAME_63 = "あ" * 21

ACCEPTED = [
    ("stack.postgres.database", NAME_63),
    ("stack.postgres.database", "a \"b\" 'c' $d; --"),
    ("stack.compose.command", "/usr/local/bin/docker-compose"),
    ("stack.compose.command", "'/opt/my tools/docker' compose"),
    ("stack.compose.profiles", ["*", "node"]),
    ("drill.count_table", 'スキーマ.Table "x"'),
    ("backup.compress", "zstd:22"),
    ("backup.compress", "none"),
    ("application.base_url", "https://[::1]:8443/node/"),
    ("drill.seed", ["sh", "-c", "echo 'a\nb'"]),
    ("drill.topic", "a b"),
]

REFUSED = [
    ("stack.postgres.database", NAME_63 + "a", "must be at most 63 bytes long, has 64"),
    ("stack.postgres.database", "a\x07", f"must be {A_NAME}, got 'a\\x07'"),
    ("stack.postgres.user", "", f"must be {A_NAME}, got nothing"),
    ("stack.postgres.password", "correct-horse\n", "must be one line of text without control characters"),
    ("stack.postgres.port", 0, "must be ≥ 1, got 0"),
    ("stack.postgres.port", 65536, "must be ≤ 65535, got 65536"),
    ("stack.postgres.port", True, "must be a whole number, got true"),
    ("stack.postgres.port", 1.0, "must be a whole number, got 1.0"),
    ("stack.postgres.deadline", float("nan"), "must be a number, got nan"),
    ("stack.postgres.deadline", None, "must be a number, got nothing"),
    ("stack.kind", 3, "must be one of auto, compose, embedded, server, got 3"),
    ("stack.disposable", "sure", "must be true or false or null, got 'sure'"),
    ("stack.compose.command", "docker 'compose", "must be a command line whose quotes are closed"),
    ("stack.compose.command", "  ", "must be a command line, not nothing"),
    ("stack.compose.files", [], "must not be empty"),
    ("stack.compose.files", "a.yml", "must be a list, got 'a.yml'"),
    ("stack.compose.files", ["a.yml", "a.yml"], "must name each one once; "),
    (
        "stack.compose.project",
        "My Node",
        "must be a compose project's name: small letters, digits, `_` and `-`, a letter or digit first, "
        "got 'My Node'",
    ),
    ("stack.compose.profiles", ["a b"], "must be a compose profile's name, or `*` for all, got 'a b'"),
    ("stack.embedded.directory", "~nobody-of-that-name/x", "must be a path: the home folder that it names"),
    ("stack.embedded.services", [], "must be a mapping, got a list"),
    ("stack.embedded.services", {"a": 3}, "must be a mapping of settings, got 3"),
    ("stack.writers", ["a", "a"], "must name each one once; 'a' is there twice"),
    ("stack.writers", ["community-node-postgres"], "must not hold community-node-postgres"),
    ("stack.stop_deadline", 0, "must be > 0, got 0"),
    ("application.base_url", "http://h:99999", A_URL_THAT_WORKS),
    ("application.base_url", "http://h:0", A_URL_THAT_WORKS),
    ("application.base_url", "http://[::1", A_URL_THAT_WORKS),
    ("application.base_url", "http://:80", A_URL_THAT_WORKS),
    ("application.base_url", "http://me:correct-horse@h", "must not hold a user or a password"),
    ("application.base_url", "http://h/?a=b", "must not hold a query or a fragment"),
    (
        "application.base_url",
        "ftp://me:correct-horse@h",
        "must be an http:// or https:// URL, in ASCII without spaces, got 'ftp://me:********@h'",
    ),
    (
        "application.health_path",
        "healthz",
        "must be a URL's path: `/` first, then ASCII without spaces, the rest percent-encoded, got 'healthz'",
    ),
    (
        "application.read_path",
        "/話題",
        "must be a URL's path: `/` first, then ASCII without spaces, the rest percent-encoded, got '/話題'",
    ),
    (
        "backup.compress",
        "zstd:23",
        "must be 0 to 9, `none`, `gzip`, `lz4` or `zstd`, the last three with a level after a colon if need be, "
        "got 'zstd:23'",
    ),
    (
        "backup.prefix",
        "../x",
        "must be the start of a file name: letters, digits, `.`, `_` and `-`, a letter or digit first, got '../x'",
    ),
    ("backup.prefix", "x" * 101, f"must be at most 100 characters long, got '{'x' * 60}…'"),
    ("backup.directory", 3, "must be a path, got 3"),
    ("drill.count_table", "events", "must be a table with its schema, as `schema.table`, got 'events'"),
    ("drill.count_table", "a." + "b" * 64, "must be at most 63 bytes long, has 64"),
    ("drill.truncate", [], "must not be empty"),
    ("drill.seed", [], "must not be empty"),
    ("drill.seed", [" "], "must begin with a program"),
    ("drill.topic", "a\x85", "must be a topic: one line, not blank, got 'a\\x85'"),
    ("drill.topic", "a\nb", "must be a topic: one line, not blank, got 'a\\nb'"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value"), ACCEPTED)
def test_usable_value_is_taken(project: Project, path: str, value: Any) -> None:
    loaded = project.load({}, {path: ("--it", value)})
    assert loaded.sources[path] == "option --it"


@pytest.mark.parametrize(("path", "value", "message"), REFUSED)
def test_unusable_value_is_refused_in_words_for_people(project: Project, path: str, value: Any, message: str) -> None:
    (problem,) = project.problems({}, {path: ("--it", value)})
    assert problem.startswith(path)
    assert f": {message}" in problem
    assert problem.endswith("(option --it)")
    assert "correct-horse" not in problem


def test_default_that_no_longer_fits_is_refused_without_a_place(project: Project) -> None:
    project.write("stack: {postgres: {service: community-node-user-api}}\n")
    assert project.problems() == [
        "stack.writers: must not hold community-node-user-api, which is stack.postgres.service"
    ]


def test_option_for_a_setting_that_is_not_there_is_refused(project: Project) -> None:
    (problem,) = project.problems({}, {"stack.knd": ("--kind", "x")})
    assert problem == "stack.knd: unknown setting; did you mean stack.kind? (option --kind)"


@pytest.mark.parametrize(
    "text",
    [
        "stack: {postgres: {password: [correct-horse]}}",
        'stack: {postgres: {password: "correct-horse\\n"}}',
        "stack: {postgres: {password: {correct-horse: 1}}}",
        "stack: {postgres: {password: *correct-horse}}",
        "stack: {postgres: {password: !correct-horse x}}",
        "stack: {postgres: {password: %correct-horse}}",
        "stack: {postgres: {password: 'correct-horse}}",
        "stack: {postgres: {password: @correct-horse}}",
        'stack: {postgres: {password: "\\qcorrect-horse"}}',
        "stack: {postgres: {password: &correct-horse x, user: &correct-horse y, port: no}}",
        "stack:\n  postgres:\n    password: a: correct-horse",
        "stack: {postgres: {password: correct-horse, passwort: correct-horse}}",
    ],
)
def test_no_message_shows_the_password(project: Project, text: str) -> None:
    assert "correct" not in "\n".join(project.write(text).problems())


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(path=st.sampled_from([leaf.path for leaf in leaves()]), value=JSON_LIKE)
def test_whatever_is_given_every_refusal_has_its_own_words(
    tmp_path_factory: pytest.TempPathFactory, path: str, value: Any
) -> None:
    try:
        load(tmp_path_factory.getbasetemp(), {}, {path: ("--it", value)})
    except SettingsError as error:
        for problem in error.problems:
            assert "cannot be used" not in problem
            assert "nput should be" not in problem
            if leaf_paths()[path].shape.kind is Kind.SECRET and isinstance(value, str) and len(value) > 3:
                assert json.dumps(value)[1:-1] not in problem


@settings(deadline=None)
@given(text=st.text() | st.text(alphabet="{}[]:,&*!|>'\"%@`#-?<= \n\tabst~"))
def test_whatever_the_file_holds_only_settings_errors_come_out(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "any text"
    folder.mkdir(exist_ok=True)
    (folder / "cn_ops.yaml").write_text(text, encoding="utf-8")
    with suppress(SettingsError):
        load(folder, {})
