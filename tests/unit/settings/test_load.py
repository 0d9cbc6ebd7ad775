"""Where settings come from, which source wins, and where paths start."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cn_ops.errors import ExitCode, SettingsError
from cn_ops.settings import Settings
from cn_ops.settings.fields import leaves
from cn_ops.settings.load import load
from tests.unit.settings.conftest import Project

GENERATIONS = "backup.generations"


def test_without_a_file_everything_is_the_default(project: Project) -> None:
    loaded = project.load()
    assert loaded.file is None
    assert loaded.root == project.folder
    assert set(loaded.sources) == {leaf.path for leaf in leaves()}
    assert set(loaded.sources.values()) == {"default"}
    assert loaded.settings.backup.generations == Settings().backup.generations
    assert loaded.settings.model_fields_set == set()
    assert loaded.warnings == ()


@pytest.mark.parametrize(
    "text", ["", "# nothing yet\n", "---\n", "null\n", "backup:\n  # generations: 5\n", "\ufeff"]
)
def test_empty_file_or_section_means_the_defaults(project: Project, text: str) -> None:
    loaded = project.write(text).load()
    assert loaded.file == project.file
    assert loaded.settings.backup.generations == 30


def test_option_wins_over_environment_over_old_name_over_file_over_default(project: Project) -> None:
    def outcome(environment: dict[str, str], options: dict[str, tuple[str, object]] | None = None) -> tuple[int, str]:
        loaded = project.load(environment, options or {})
        return loaded.settings.backup.generations, loaded.sources[GENERATIONS]

    old, new = {"COMMUNITY_NODE_BACKUP_GENERATIONS": "4"}, {"CN_OPS_BACKUP__GENERATIONS": "5"}
    assert outcome({}) == (30, "default")
    project.write("# settings\nbackup:\n  generations: 3\n")
    assert outcome({}) == (3, "cn_ops.yaml:3")
    assert outcome(old) == (4, "environment COMMUNITY_NODE_BACKUP_GENERATIONS")
    assert outcome(old | new) == (5, "environment CN_OPS_BACKUP__GENERATIONS")
    assert outcome(old | new, {GENERATIONS: ("--generations", 6)}) == (6, "option --generations")
    assert outcome(old | new, {GENERATIONS: ("--generations", "7")}) == (7, "option --generations")


def test_only_what_is_given_counts_as_set(project: Project) -> None:
    loaded = project.write("stack: {kind: compose}\n").load({"CN_OPS_STACK__POSTGRES__PORT": "5433"})
    assert loaded.settings.stack.model_fields_set == {"kind", "postgres"}
    assert loaded.settings.stack.postgres.model_fields_set == {"port"}


def test_nearest_file_above_is_found_and_named_in_full(project: Project) -> None:
    project.write("backup: {generations: 0}\n")
    deep = project.folder / "a" / "b"
    deep.mkdir(parents=True)
    (deep.parent / "tasks.py").touch()
    with pytest.raises(SettingsError, match="generations") as caught:
        load(deep, {})
    assert caught.value.problems == [f"backup.generations: must be ≥ 1, got 0 ({project.file} line 1)"]
    project.write("backup: {generations: 7}\n")
    loaded = load(deep, {})
    assert (loaded.file, loaded.root) == (project.file, project.folder)
    assert loaded.sources[GENERATIONS] == f"{project.file}:1"


def test_without_a_file_paths_start_from_the_nearest_tasks(project: Project) -> None:
    deep = project.folder / "a" / "b"
    deep.mkdir(parents=True)
    (project.folder / "tasks.py").touch()
    assert load(deep, {}).root == project.folder
    (deep.parent / "tasks.py").touch()
    assert load(deep, {}).root == deep.parent
    assert load(deep, {}).settings.state == deep.parent / "tmp/cn-ops"


def test_named_file_is_taken_and_its_folder_is_the_root(project: Project, tmp_path: Path) -> None:
    project.write("backup: {generations: 3}\n")
    other = tmp_path / "etc" / "node.yaml"
    other.parent.mkdir()
    other.write_text("backup: {generations: 9}\n")
    for named in (str(other), "../etc/node.yaml"):
        loaded = project.load({"CN_OPS_CONFIG": named})
        assert loaded.settings.backup.generations == 9
        assert loaded.file is not None
        assert loaded.file.samefile(other)
        assert loaded.root.samefile(other.parent)
    assert project.load({"CN_OPS_CONFIG": ""}).settings.backup.generations == 3


def test_named_file_that_is_not_there_is_an_error(project: Project) -> None:
    missing = {"CN_OPS_CONFIG": "nowhere.yaml"}
    assert project.problems(missing) == [f"CN_OPS_CONFIG: {project.folder / 'nowhere.yaml'} is not there"]
    assert project.problems({"CN_OPS_CONFIG": "."}) == [f"CN_OPS_CONFIG: {project.folder} is a folder"]
    assert project.problems({"CN_OPS_CONFIG": "/dev/null"}) == ["CN_OPS_CONFIG: /dev/null is not a file"]
    assert project.problems({"CN_OPS_CONFIG": "a" * 5000})[0].startswith("CN_OPS_CONFIG: cannot look at")


def test_all_paths_are_absolute_and_start_from_the_root(project: Project, tmp_path: Path) -> None:
    project.write(
        "stack: {compose: {files: [a.yml, /etc/b.yml, ../c.yml], directory: ., env_file: ノード.env}}\n"
        "backup: {directory: back ups}\n"
    )
    settings = load(project.folder, {"CN_OPS_DRILL__LOGS": "logs"}).settings
    root = project.folder
    assert settings.stack.compose.files == (root / "a.yml", Path("/etc/b.yml"), root / "../c.yml")
    assert settings.stack.compose.directory == root
    assert settings.stack.compose.env_file == root / "ノード.env"
    assert settings.backup.directory == root / "back ups"
    assert settings.drill.logs == root / "logs"
    assert settings.drill.results == root / "test-results/community-node-recovery"
    assert settings.state.is_absolute()


def test_relative_working_directory_gives_absolute_paths(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.folder)
    loaded = load(Path(), {})
    assert loaded.root == project.folder
    assert loaded.settings.state == project.folder / "tmp/cn-ops"


def test_path_of_an_option_starts_from_the_current_folder(project: Project) -> None:
    project.write("")
    here = project.folder / "here"
    here.mkdir()
    options: dict[str, tuple[str, object]] = {
        "backup.directory": ("--directory", "backups"),
        "stack.compose.files": ("--file", ["a.yml", "/b.yml"]),
        "stack.embedded.directory": ("--cluster", Path("cluster")),
    }
    settings = load(here, {}, options).settings
    assert settings.backup.directory == here / "backups"
    assert settings.stack.compose.files == (here / "a.yml", Path("/b.yml"))
    assert settings.stack.embedded.directory == here / "cluster"
    assert settings.state == project.folder / "tmp/cn-ops"


def test_home_is_expanded_in_every_source(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/node")
    project.write("state: ~/state\n")
    loaded = project.load({"CN_OPS_DRILL__LOGS": "~/logs"}, {"drill.results": ("--results", "~/results")})
    assert loaded.settings.state == Path("/home/node/state")
    assert loaded.settings.drill.logs == Path("/home/node/logs")
    assert loaded.settings.drill.results == Path("/home/node/results")


def test_linked_file_belongs_to_the_folder_of_the_link(project: Project, tmp_path: Path) -> None:
    real = tmp_path / "real.yaml"
    real.write_text("state: s\n")
    project.file.symlink_to(real)
    assert project.load().settings.state == project.folder / "s"


def test_link_that_leads_nowhere_is_an_error_and_not_passed_over(project: Project, tmp_path: Path) -> None:
    (tmp_path / "cn_ops.yaml").write_text("backup: {generations: 3}\n")
    project.file.symlink_to(tmp_path / "gone.yaml")
    assert project.problems() == ["cn_ops.yaml: cannot be read: No such file or directory"]


def test_folder_reached_through_a_link_keeps_its_name(project: Project, tmp_path: Path) -> None:
    project.write("state: s\n")
    link = tmp_path / "link"
    link.symlink_to(project.folder)
    assert load(link, {}).settings.state == link / "s"


def test_pipe_is_not_waited_for(project: Project) -> None:
    os.mkfifo(project.file)
    assert project.problems() == ["cn_ops.yaml: is a pipe, and not a file"]


def test_file_that_is_a_folder_is_an_error(project: Project) -> None:
    project.file.mkdir()
    assert project.problems() == ["cn_ops.yaml: cannot be read: Is a directory"]


def test_unreadable_file_is_an_error(project: Project) -> None:
    # Permissions do not stop root; nobody can read this process's memory from its first byte.
    assert project.problems({"CN_OPS_CONFIG": "/proc/self/mem"}) == [
        "/proc/self/mem: cannot be read: Input/output error"
    ]


def test_file_that_is_not_text_is_one_error(project: Project) -> None:
    project.file.write_bytes(b"backup:\n  prefix: caf\xe9\n")
    assert project.problems() == ["cn_ops.yaml: is not UTF-8 text (line 2)"]
    project.file.write_bytes(b"state: a\x00b\n")
    assert project.problems() == ["the character U+0000 cannot stand in YAML (cn_ops.yaml line 1)"]
    project.file.write_bytes(b"#" * (1 << 20) + b"#")
    assert project.problems() == ["cn_ops.yaml: is larger than 1048576 bytes: is it a settings file?"]


def test_overridden_value_is_not_looked_at(project: Project) -> None:
    project.write("backup: {generations: many}\nstack: {writers: [a, a]}\n")
    environment = {"CN_OPS_BACKUP__GENERATIONS": "5", "CN_OPS_STACK__WRITERS": "[a, b]"}
    loaded = project.load(environment)
    assert loaded.settings.backup.generations == 5
    assert loaded.settings.stack.writers == ("a", "b")


def test_all_errors_of_all_sources_come_at_once(project: Project) -> None:
    project.write("backup:\n  generation: 3\n  compress: best\nstack: {kind: kvm}\n")
    problems = project.problems(
        {"CN_OPS_APPLICATION__DEADLINE": "soon", "CN_OPS_DRILL__TOPICS": "x"}, {"drill.topic": ("--topic", "")}
    )
    assert [line.split(":")[0] for line in problems] == [
        "backup.generation",
        "backup.compress",
        "stack.kind",
        "CN_OPS_DRILL__TOPICS",
        "application.deadline",
        "drill.topic",
    ]


def test_errors_say_the_state_the_way_out_and_exit_with_2(project: Project) -> None:
    project.write("backup: {generations: 0}\n")
    with pytest.raises(SettingsError) as caught:
        project.load()
    assert caught.value.exit_code is ExitCode.USAGE
    assert "nothing was started or changed" in caught.value.state
    assert "docs/reference/settings.md" in caught.value.hint
    assert str(caught.value) == ("settings: 1 error\n  backup.generations: must be ≥ 1, got 0 (cn_ops.yaml line 1)")


def test_loaded_settings_cannot_be_changed(project: Project) -> None:
    loaded = project.load()
    with pytest.raises(ValueError, match="frozen"):
        loaded.settings.backup.generations = 1  # type: ignore[misc]


def test_password_in_a_file_that_others_can_read_is_a_warning(project: Project) -> None:
    project.write("stack: {postgres: {password: correct-horse}}\n")
    assert project.load().warnings == ()
    project.file.chmod(0o644)
    (warning,) = project.load().warnings
    assert warning.startswith("cn_ops.yaml line 1 holds stack.postgres.password and others can read it: `chmod 600")
    assert "correct-horse" not in warning
    assert project.load({"CN_OPS_STACK__POSTGRES__PASSWORD": "other-horse"}).warnings == ()
