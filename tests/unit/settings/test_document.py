"""The file: what YAML may hold, with the line of everything that is wrong."""

from __future__ import annotations

import time

import pytest

from tests.unit.settings.conftest import Project


def test_plain_words_are_read_by_the_type_of_their_setting(project: Project) -> None:
    loaded = project.write(
        "backup: {compress: 9, prefix: no, generations: 010, globals: off}\n"
        "stack:\n"
        "  postgres: {database: 010, user: 1:30, password: 0x10}\n"
        "  embedded:\n"
        "    services: {a: {command: [run, 1.50, yes], environment: {PORT: 0808, ON: on, DAY: 2024-01-01}}}\n"
        "drill: {topic: 1e3}\n"
        "state: 2024-01-01\n"
    ).load()
    settings = loaded.settings
    assert (settings.backup.compress, settings.backup.prefix) == ("9", "no")
    assert (settings.backup.generations, settings.backup.globals) == (10, False)
    assert (settings.stack.postgres.database, settings.stack.postgres.user) == ("010", "1:30")
    assert settings.stack.postgres.password is not None
    assert settings.stack.postgres.password.get_secret_value() == "0x10"
    service = settings.stack.embedded.services["a"]
    assert service.command == ("run", "1.50", "yes")
    assert service.environment == {"PORT": "0808", "ON": "on", "DAY": "2024-01-01"}
    assert settings.drill.topic == "1e3"
    assert settings.state.name == "2024-01-01"


def test_every_way_to_write_null_is_null(project: Project) -> None:
    project.write("drill:\n  seed: null\n  invite: ~\n  cleanup:\nstack: {disposable: NULL, compose: {env_file: }}\n")
    settings = project.load().settings
    assert (settings.drill.seed, settings.drill.invite, settings.drill.cleanup) == (None, None, None)
    assert settings.stack.disposable is None
    assert settings.stack.compose.env_file is None


def test_quoted_null_is_text(project: Project) -> None:
    assert project.write("stack: {postgres: {database: 'null'}}\n").load().settings.stack.postgres.database == "null"


def test_anchors_aliases_and_merges_are_resolved(project: Project) -> None:
    loaded = project.write(
        "stack:\n"
        "  writers: &names [a, b]\n"
        "  embedded:\n"
        "    services:\n"
        "      a: &service\n"
        "        command: &command [run, it]\n"
        "        environment: {DATABASE_URL: '{dsn}'}\n"
        "      b:\n"
        "        <<: *service\n"
        "        health_path: /ready\n"
        "      c: *service\n"
        "drill: {seed: *command}\n"
    ).load()
    services = loaded.settings.stack.embedded.services
    assert loaded.settings.drill.seed == ("run", "it")
    assert services["b"].command == ("run", "it")
    assert (services["a"].health_path, services["b"].health_path) == ("/healthz", "/ready")
    assert services["c"] == services["a"]
    assert loaded.sources["drill.seed"] == "cn_ops.yaml:12"


def test_own_key_wins_over_a_merged_one_and_is_not_a_repetition(project: Project) -> None:
    loaded = project.write(
        "stack: {embedded: {services: {\n"
        "  a: &a {command: [x], health_path: /a}, b: &b {<<: *a, health_path: /b}, c: *b}}}\n"
    ).load()
    services = loaded.settings.stack.embedded.services
    assert [services[name].health_path for name in "abc"] == ["/a", "/b", "/b"]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("backup: {generations: 0}", ["backup.generations: must be ≥ 1, got 0 (cn_ops.yaml line 1)"]),
        (
            "\n\nbackup:\n  generation: 3",
            ["backup.generation: unknown setting; did you mean backup.generations? (cn_ops.yaml line 4)"],
        ),
        ("generations: 3", ["generations: unknown setting; did you mean backup.generations? (cn_ops.yaml line 1)"]),
        (
            "zzz: 3",
            [
                "zzz: unknown setting; known here: stack, application, backup, restore, probes, drill, state "
                "(cn_ops.yaml line 1)"
            ],
        ),
        (
            "stack: {embedded: {services: {a: {comand: [x]}}}}",
            [
                "stack.embedded.services.a.comand: unknown setting; did you mean stack.embedded.services.a.command? "
                "(cn_ops.yaml line 1)"
            ],
        ),
        (
            "stack: {embedded: {services: {a: {}}}}",
            ["stack.embedded.services.a.command: is missing, and has no default (cn_ops.yaml line 1)"],
        ),
        (
            "stack: {embedded: {services: {'a b': {command: [x]}}}}",
            [
                "stack.embedded.services.a b: must be a service's name: letters, digits, `.`, `_` and `-`, "
                "a letter or digit first, got 'a b' (cn_ops.yaml line 1)"
            ],
        ),
        (
            "stack: {embedded: {services: {a: {command: [x], environment: {1A: x}}}}}",
            [
                "stack.embedded.services.a.environment.1A: must be a variable's name: letters, digits and `_`, "
                "no digit first, got '1A' (cn_ops.yaml line 1)"
            ],
        ),
        (
            "stack:\n  writers:\n  - a\n  - [b]",
            ["stack.writers[1]: must be text, got a list (cn_ops.yaml line 4)"],
        ),
        ("stack: {writers: a}", ["stack.writers: must be a list, got 'a' (cn_ops.yaml line 1)"]),
        ("stack: {writers: null}", ["stack.writers: must be a list, got nothing (cn_ops.yaml line 1)"]),
        ("backup: 3", ["backup: must be a mapping of settings (cn_ops.yaml line 1)"]),
        ("- a", ["must be a mapping at the top (cn_ops.yaml line 1)"]),
        ("hello", ["must be a mapping at the top (cn_ops.yaml line 1)"]),
        ("backup: {prefix: {a: b}}", ["backup.prefix: must be text, got a mapping (cn_ops.yaml line 1)"]),
        (
            "backup: {generations: '5'}",
            ["backup.generations: must be a whole number, got '5': take the quotes away (cn_ops.yaml line 1)"],
        ),
        (
            "backup: {globals: 'yes'}",
            ["backup.globals: must be true or false, got 'yes': take the quotes away (cn_ops.yaml line 1)"],
        ),
        (
            "backup: {generations: 5.0}",
            ["backup.generations: must be a whole number, got '5.0' (cn_ops.yaml line 1)"],
        ),
        (
            "backup: {generations: true}",
            ["backup.generations: must be a whole number, got 'true' (cn_ops.yaml line 1)"],
        ),
        ("backup: {generations: }", ["backup.generations: must be a whole number, got nothing (cn_ops.yaml line 1)"]),
        (
            "application: {deadline: .inf}",
            ["application.deadline: must be a number, got '.inf' (cn_ops.yaml line 1)"],
        ),
        (
            "backup: {format: tar}",
            ["backup.format: must be one of custom, directory or null, got 'tar' (cn_ops.yaml line 1)"],
        ),
        (
            "backup: {generations: 1}\nstate: a\nbackup: {generations: 2}",
            ["backup: is there twice, first on line 1 (cn_ops.yaml line 3)"],
        ),
        (
            "backup:\n  prefix: a\n  prefix: a\nstack: {embedded: {services: {a: {command: [x], command: [y]}}}}",
            [
                "backup.prefix: is there twice, first on line 2 (cn_ops.yaml line 3)",
                "stack.embedded.services.a.command: is there twice, first on line 4 (cn_ops.yaml line 4)",
            ],
        ),
        (
            "backup:\n\tprefix: a",
            ["is not YAML: found character '\\t' that cannot start any token (cn_ops.yaml line 2)"],
        ),
        (
            "backup: [a",
            ["is not YAML: expected ',' or ']', but got '<stream end>' (cn_ops.yaml line 1)"],
        ),
        ("state: a\n---\nstate: b", ["holds more than one YAML document (cn_ops.yaml line 2)"]),
        (
            "state: *here",
            ["is not YAML: an alias (*…) has no anchor; a text that begins with * needs quotes (cn_ops.yaml line 1)"],
        ),
        (
            "state: !!python/object/apply:os.system [id]",
            ["state: has a YAML tag (!…) that is not supported; a text with ! needs quotes (cn_ops.yaml line 1)"],
        ),
        (
            'backup: {"\\e[31m": 1}',
            [
                "backup.'\\x1b[31m': unknown setting; known here: "
                "directory, prefix, generations, keep_daily, keep_weekly, keep_monthly, suspicious_share, preset, "
                "format, compress, jobs, globals (cn_ops.yaml line 1)"
            ],
        ),
        ("backup: {? [a] : b}", ["backup: must have names for keys (cn_ops.yaml line 1)"]),
        ("backup: {<<: 3}", ["backup: can merge (<<) only mappings (cn_ops.yaml line 1)"]),
        ("state: a\nstack: " + "[" * 5000, ["is nested too deeply (cn_ops.yaml line 2)"]),
    ],
)
def test_what_is_wrong_is_named_with_its_line(project: Project, text: str, problems: list[str]) -> None:
    assert project.write(text).problems() == problems


def test_aliases_cannot_make_a_document_grow(project: Project) -> None:
    lines = ["drill:", "  seed: &a0 [x]"]
    lines += [f"  z{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 30)]
    project.write("\n".join([*lines, "  cleanup: *a29"]))
    started = time.monotonic()
    problems = project.problems()
    assert time.monotonic() - started < 5
    unknown = [problem for problem in problems if "unknown setting" in problem]
    assert len(unknown) == 29
    assert sorted(set(problems) - set(unknown)) == [
        f"drill.cleanup[{position}]: must be text, got a list (cn_ops.yaml line 30)" for position in range(10)
    ]
