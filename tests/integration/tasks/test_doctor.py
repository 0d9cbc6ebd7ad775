"""`inv doctor` says what is there and what is missing, and changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cn_ops.doctor import recommended
from cn_ops.errors import ExitCode
from cn_ops.files import private_folder
from cn_ops.journal import Intent, Journal
from cn_ops.model import PresetTime
from cn_ops.operation import journal_path
from tests.support.nodes import LEDGER_SERVER, Node, ledger_settings, node


def examined(made: Node, *options: str) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """Return the exit code, the findings by subject, and the whole document."""
    done = made.run("doctor", "--json", *options)
    document = json.loads(done.stdout)
    return done.returncode, {one["subject"]: one for one in document["findings"]}, document


def test_node_that_lacks_nothing(shared_ledger: Node) -> None:
    code, found, document = examined(shared_ledger)
    assert code == 0
    assert {one["level"] for one in found.values()} <= {"ok", "note"}
    assert LEDGER_SERVER in found["services"]["detail"]
    assert repr(shared_ledger.database) in found["server"]["detail"]
    assert {"client tools", "role", "room", "backup folder", "generations", "unfinished work"} <= found.keys()
    assert (document["measured"], document["recommended_preset"]) == ([], None)


def test_every_preset_is_measured_and_nothing_is_left(shared_ledger: Node) -> None:
    before = sorted(shared_ledger.settings.backup.directory.iterdir())
    code, _, document = examined(shared_ledger, "--measure")
    assert code == 0
    assert [one["preset"] for one in document["measured"]] == ["compatible", "fast", "parallel"]
    assert all(one["seconds"] > 0 and one["size_bytes"] > 1000 for one in document["measured"])
    assert document["recommended_preset"] in ("compatible", "fast", "parallel")
    assert sorted(shared_ledger.settings.backup.directory.iterdir()) == before


def test_people_are_told_what_to_do(shared_ledger: Node) -> None:
    done = shared_ledger.run("doctor", "--measure")
    assert done.returncode == 0, done.stderr
    assert "recommended here: backup.preset: " in done.stdout
    assert "no problem was found" in done.stdout


def test_what_is_missing_is_named_with_a_way_out(postgres: None, tmp_path: Path) -> None:
    """A node whose server does not run, with an unfinished restore, and a folder that is a file."""
    document = ledger_settings(disposable=False)
    document["backup"]["directory"] = "a file"
    with node(tmp_path / "a node", document) as made:
        (made.folder / "a file").write_text("")
        private_folder(made.settings.state)
        Journal(journal_path(made.settings, made.stack)).write(Intent("restore", stopped=("ledger-api",)))
        code, found, _ = examined(made)
        assert code == ExitCode.MISSING
        assert {one for one in found if found[one]["level"] == "problem"} == {
            "backup folder",
            "generations",
            "unfinished work",
            "server",
        }
        assert all(one["hint"] for one in found.values() if one["level"] != "ok")
        assert "inv stack.up" in found["server"]["hint"]
        assert found["drills"]["level"] == "note"
        assert made.run("doctor", "--measure").returncode == ExitCode.MISSING
        assert made.stack.running() == ()


@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        ((9.0, 3.0, 1.0), "parallel"),
        ((9.0, 3.0, 2.9), "fast"),
        ((1.0, 0.95, 0.93), "compatible"),
        ((1.0, 0.95, 0.5), "parallel"),
    ],
)
def test_simplest_preset_that_hardly_another_beats_is_recommended(seconds: tuple[float, ...], best: str) -> None:
    names = ("compatible", "fast", "parallel")
    assert recommended([PresetTime(name, (), one, 1) for name, one in zip(names, seconds, strict=True)]) == best


def test_damaged_generations_are_a_problem_also_when_there_is_no_other(postgres: None, tmp_path: Path) -> None:
    with node(tmp_path / "a node", ledger_settings()) as made:
        made.ok("stack.up")
        made.ok("backup")
        (dump,) = made.settings.backup.directory.glob("*.dump")
        dump.write_bytes(b"")
        code, found, _ = examined(made)
        assert code == ExitCode.MISSING
        assert found["generations"]["level"] == "problem"
        assert "damaged" in found["generations"]["detail"]


def test_setting_that_fits_nothing_is_a_problem(shared_ledger: Node) -> None:
    """Without that table every backup fails, without that file every restore."""
    before = {"drill": {"count_table": shared_ledger.settings.drill.count_table}, "restore": {"after": []}}
    shared_ledger.change({"drill": {"count_table": "ledger.nowhere"}, "restore": {"after": ["nowhere.sql"]}})
    try:
        code, found, _ = examined(shared_ledger)
    finally:
        shared_ledger.change(before)
    assert code == ExitCode.MISSING
    assert {one for one in found if found[one]["level"] == "problem"} == {"counted table", "restore.after"}
    assert "ledger.nowhere" in found["counted table"]["detail"]
    assert "nowhere.sql" in found["restore.after"]["detail"]
