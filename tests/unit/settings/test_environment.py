"""Variables: CN_OPS_SECTION__NAME, and the names of the old script."""

from __future__ import annotations

import pytest

from tests.unit.settings.conftest import Project

OLD_GENERATIONS = "COMMUNITY_NODE_BACKUP_GENERATIONS"
OLD_BASE_URL = "COMMUNITY_NODE_BASE_URL"
OLD_PORT = "COMMUNITY_NODE_USER_API_PORT"
OLD_TOPIC = "E2E_COMMUNITY_NODE_TOPIC_NAME"


def test_text_is_taken_as_it_stands(project: Project) -> None:
    settings = project.load(
        {
            "CN_OPS_BACKUP__COMPRESS": "9",
            "CN_OPS_STACK__POSTGRES__DATABASE": "010",
            "CN_OPS_BACKUP__PREFIX": "no",
            "CN_OPS_DRILL__TOPIC": "話題 # 1",
            "CN_OPS_STACK__POSTGRES__PASSWORD": " [not yaml",
        }
    ).settings
    assert settings.backup.compress == "9"
    assert settings.stack.postgres.database == "010"
    assert settings.backup.prefix == "no"
    assert settings.drill.topic == "話題 # 1"
    assert settings.stack.postgres.password is not None
    assert settings.stack.postgres.password.get_secret_value() == " [not yaml"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("true", True), ("False", False), ("YES", True), ("no", False), ("on", True), ("1", True), ("0", False)],
)
def test_booleans_have_their_usual_words(project: Project, text: str, *, expected: bool) -> None:
    assert project.load({"CN_OPS_BACKUP__GLOBALS": text}).settings.backup.globals is expected


@pytest.mark.parametrize("text", ["", "null"])
def test_empty_value_or_null_is_null_where_that_is_allowed(project: Project, text: str) -> None:
    project.write("stack: {compose: {env_file: a.env}, disposable: true}\n")
    settings = project.load(
        {
            "CN_OPS_STACK__COMPOSE__ENV_FILE": text,
            "CN_OPS_STACK__DISPOSABLE": text,
            "CN_OPS_DRILL__SEED": text,
            "CN_OPS_APPLICATION__READ_PATH": text,
        }
    ).settings
    assert settings.stack.compose.env_file is None
    assert settings.stack.disposable is None
    assert settings.drill.seed is None
    assert settings.application.read_path is None


def test_lists_and_mappings_are_yaml(project: Project) -> None:
    settings = project.load(
        {
            "CN_OPS_STACK__WRITERS": "[a, b]",
            "CN_OPS_DRILL__SEED": "- cn\n- --events\n- 10",
            "CN_OPS_STACK__EMBEDDED__SERVICES": "{a: {command: [x], environment: {PORT: 08080}}}",
        }
    ).settings
    assert settings.stack.writers == ("a", "b")
    assert settings.drill.seed == ("cn", "--events", "10")
    assert settings.stack.embedded.services["a"].environment == {"PORT": "08080"}


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("BACKUP__GENERATIONS", "0", "backup.generations: must be ≥ 1, got 0"),
        ("BACKUP__GENERATIONS", "-1", "backup.generations: must be ≥ 1, got -1"),
        ("BACKUP__GENERATIONS", "many", "backup.generations: must be a whole number, got 'many'"),
        ("BACKUP__GENERATIONS", "9.0", "backup.generations: must be a whole number, got '9.0'"),
        ("BACKUP__GENERATIONS", "", "backup.generations: must be a whole number, got nothing"),
        ("BACKUP__GENERATIONS", "٣", "backup.generations: must be a whole number, got '٣'"),
        ("BACKUP__GENERATIONS", "100001", "backup.generations: must be ≤ 100000, got 100001"),
        ("BACKUP__GENERATIONS", "9" * 99, f"backup.generations: must be a whole number, got '{'9' * 60}…'"),
        ("BACKUP__GLOBALS", "2", "backup.globals: must be true or false, got '2'"),
        ("STACK__DISPOSABLE", "maybe", "stack.disposable: must be true or false or null, got 'maybe'"),
        ("APPLICATION__DEADLINE", "nan", "application.deadline: must be a number, got 'nan'"),
        ("APPLICATION__DEADLINE", "inf", "application.deadline: must be a number, got 'inf'"),
        ("APPLICATION__DEADLINE", "1e999", "application.deadline: must be a number, got inf"),
        ("APPLICATION__DEADLINE", "0", "application.deadline: must be > 0, got 0.0"),
        ("APPLICATION__DEADLINE", "86401", "application.deadline: must be ≤ 86400, got 86401.0"),
        ("STACK__KIND", "kvm", "stack.kind: must be one of auto, compose, embedded, server, got 'kvm'"),
        ("STATE", "", "state: must be a path, not nothing"),
        ("STATE", "a\nb", "state: must be a path without control characters"),
        ("STATE", "\udcff", "state: must be a path in UTF-8"),
        ("DRILL__TOPIC", "\udcff", "drill.topic: must be text in UTF-8"),
        ("STACK__WRITERS", "a", "stack.writers: must be a list, got 'a'"),
        ("STACK__WRITERS", "a, b", "stack.writers: must be a list, got 'a, b'"),
        ("STACK__WRITERS", "", "stack.writers: must be a list, got nothing"),
        ("STACK__WRITERS", "# none", "stack.writers: must be a list, got nothing"),
        ("STACK__WRITERS", "[]", "stack.writers: must not be empty"),
        ("STACK__WRITERS", "[a, 'b c']", "stack.writers[1]: must be a service's name: letters, digits, `.`, `_` and "
         "`-`, a letter or digit first, got 'b c'"),
        ("STACK__WRITERS", "[a, b", "stack.writers: is not YAML: expected ',' or ']', but got '<stream end>'; "
         "write it as [a, b] or {a: b}"),
        ("DRILL__SEED", "{a: b}", "drill.seed: must be a list or null, got a mapping"),
    ],
)  # fmt: skip
def test_bad_value_is_refused_by_path_and_variable(project: Project, name: str, text: str, problem: str) -> None:
    variable = f"CN_OPS_{name}"
    assert project.problems({variable: text}) == [f"{problem} (environment {variable})"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CN_OPS_BACKUP__GENERATION", "CN_OPS_BACKUP__GENERATIONS"),
        ("CN_OPS_BACKUP_GENERATIONS", "CN_OPS_BACKUP__GENERATIONS"),
        ("CN_OPS_STACK__POSTGRES_PORT", "CN_OPS_STACK__POSTGRES__PORT"),
        ("CN_OPS_POSTGRES__PORT", "CN_OPS_STACK__POSTGRES__PORT"),
        ("CN_OPS_STACK", "CN_OPS_STACK__KIND"),
        ("CN_OPS_STAT__E", "CN_OPS_STATE"),
    ],
)
def test_unknown_variable_is_refused_with_the_nearest_name(project: Project, name: str, meant: str) -> None:
    assert project.problems({name: "1"}) == [f"{name}: unknown variable; did you mean {meant}?"]


def test_unknown_variable_like_no_other_says_where_the_names_are(project: Project) -> None:
    (problem,) = project.problems({"CN_OPS_X__Y": ""})
    assert problem == "CN_OPS_X__Y: unknown variable; `inv config` lists the settings"
    (problem,) = project.problems({"CN_OPS_\udcff__Y": ""})
    assert problem == "'CN_OPS_\\udcff__Y': unknown variable; `inv config` lists the settings"


@pytest.mark.parametrize(
    "name", ["CN_OPS_REQUIRE", "CN_OPS_POSTGRES_IMAGE", "CN_OPS_NODE_IMAGE", "CN_OPS_PYTHON_IMAGE", "CN_OPSX", "PATH"]
)
def test_variables_of_other_things_are_left_alone(project: Project, name: str) -> None:
    assert set(project.load({name: "x"}).sources.values()) == {"default"}


def test_old_names_set_what_they_did(project: Project) -> None:
    project.write("application: {base_url: 'http://file'}\ndrill: {topic: file}\n")
    environment = {OLD_GENERATIONS: " 7 ", OLD_BASE_URL: "http://node:1", OLD_PORT: "2", OLD_TOPIC: "kukuri:話題"}
    loaded = project.load(environment)
    assert loaded.settings.backup.generations == 7
    assert loaded.settings.application.base_url == "http://node:1"
    assert loaded.settings.drill.topic == "kukuri:話題"
    assert loaded.sources["application.base_url"] == f"environment {OLD_BASE_URL}"
    assert loaded.sources["drill.topic"] == f"environment {OLD_TOPIC}"


def test_empty_old_names_count_as_not_set(project: Project) -> None:
    loaded = project.load(dict.fromkeys((OLD_GENERATIONS, OLD_BASE_URL, OLD_PORT, OLD_TOPIC), ""))
    assert set(loaded.sources.values()) == {"default"}
    assert loaded.warnings == ()


@pytest.mark.parametrize("text", ["0", "-1", "many", "9.5", "100001", " ", "9" * 5000])
def test_unusable_old_number_of_generations_is_a_warning_and_30(project: Project, text: str) -> None:
    loaded = project.load({OLD_GENERATIONS: text})
    assert loaded.settings.backup.generations == 30
    (warning,) = loaded.warnings
    assert warning.startswith(f"{OLD_GENERATIONS}: must be a whole number from 1 to 100000, got ")


def test_unusable_old_number_of_generations_never_lowers_what_the_file_keeps(project: Project) -> None:
    loaded = project.write("backup: {generations: 365}\n").load({OLD_GENERATIONS: "many"})
    assert loaded.settings.backup.generations == 365
    assert loaded.sources["backup.generations"] == "cn_ops.yaml:1"
    assert len(loaded.warnings) == 1


def test_old_port_makes_the_base_url_only_when_nothing_else_does(project: Project) -> None:
    loaded = project.load({OLD_PORT: "19000"})
    assert loaded.settings.application.base_url == "http://127.0.0.1:19000"
    assert loaded.sources["application.base_url"] == f"environment {OLD_PORT}"
    named = {OLD_PORT: "19000", "CN_OPS_APPLICATION__BASE_URL": "http://new"}
    assert project.load(named).settings.application.base_url == "http://new"
    options: dict[str, tuple[str, object]] = {"application.base_url": ("--base-url", "http://option")}
    assert project.load({OLD_PORT: "19000"}, options).settings.application.base_url == "http://option"
    project.write("application: {base_url: 'http://file'}\n")
    assert project.load({OLD_PORT: "19000"}).settings.application.base_url == "http://file"


@pytest.mark.parametrize("text", ["0", "65536", "http", "-1", "1.5", "٣"])
def test_bad_old_port_is_an_error(project: Project, text: str) -> None:
    assert project.problems({OLD_PORT: text}) == [f"{OLD_PORT}: must be a port from 1 to 65535, got {text!r}"]


def test_bad_old_base_url_and_topic_are_errors(project: Project) -> None:
    problems = project.problems({OLD_BASE_URL: "node:8080", OLD_TOPIC: " "})
    assert problems == [
        "application.base_url: must be an http:// or https:// URL, in ASCII without spaces, got 'node:8080' "
        f"(environment {OLD_BASE_URL})",
        f"drill.topic: must be a topic: one line, not blank, got ' ' (environment {OLD_TOPIC})",
    ]
