"""One real command for every exit code, and what it says."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from cn_ops.errors import ExitCode
from cn_ops.stack.embedded_layout import wheel_binaries
from tests.support.nodes import API, LEDGER_SERVER, LEDGER_WRITERS, Node, bin_dir, ledger_service
from tests.support.signals import clients, hit

EVERYTHING = (LEDGER_SERVER, *LEDGER_WRITERS)


def fails(node: Node, code: ExitCode, *arguments: str, said: str = "") -> str:
    """Run a task that must fail with a code, saying what, what now and what to do; return what it said."""
    done = node.run(*arguments)
    assert done.returncode == int(code), f"{done.stderr}\n{done.stdout}"
    assert "error: " in done.stderr
    assert "now: " in done.stderr
    assert "do: " in done.stderr
    assert "Traceback" not in done.stderr
    assert said in done.stderr
    return done.stderr


def test_0_is_a_command_that_did_what_it_was_asked(shared_ledger: Node) -> None:
    assert shared_ledger.run("backups").returncode == ExitCode.OK


def test_1_is_an_operation_that_failed(shared_ledger: Node) -> None:
    with bin_dir(wheel_binaries(), {"pg_dump": "echo it is broken >&2; exit 1"}) as folder:
        shared_ledger.change({"stack": {"embedded": {"bin_dir": str(folder)}}})
        try:
            said = fails(shared_ledger, ExitCode.FAILED, "backup", said="it is broken")
        finally:
            shared_ledger.change({"stack": {"embedded": {"bin_dir": None}}})
    assert "no generation was made" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["backup", "--stack=nope"], "'nope'"),
        (["drill", "--scenario=flood"], "'flood'"),
        (["drill", "--events=8"], "--events"),
        (["restore", "--dump=yesterday"], "'yesterday'"),
        (["restore", "--dump="], "say which one: a dump"),
        (["restore", "--dump=gone.dump"], "gone.dump"),
    ],
)
def test_2_is_bad_usage(shared_ledger: Node, arguments: list[str], said: str) -> None:
    fails(shared_ledger, ExitCode.USAGE, *arguments, said=said)
    assert shared_ledger.stack.running() == EVERYTHING


@pytest.mark.parametrize("keep", ["0", "-1", "many"])
def test_2_is_a_number_of_generations_that_is_none(shared_ledger: Node, keep: str) -> None:
    before = shared_ledger.backup_files()
    done = shared_ledger.run("prune", f"--keep={keep}")
    assert done.returncode == ExitCode.USAGE
    assert "--keep" in done.stderr
    assert shared_ledger.backup_files() == before


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_2_is_a_setting_that_cannot_be(shared_ledger: Node, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CN_OPS_BACKUP__GENERATIONS", value)
    fails(shared_ledger, ExitCode.USAGE, "backup", said="backup.generations")


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_old_variable_that_cannot_be_is_a_warning_and_thirty(
    shared_ledger: Node, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMMUNITY_NODE_BACKUP_GENERATIONS", value)
    done = shared_ledger.run("backup", "--dry-run", "--json")
    assert done.returncode == ExitCode.OK
    assert json.loads(done.stdout)["generations"] == 30
    assert "COMMUNITY_NODE_BACKUP_GENERATIONS" in done.stderr


def test_2_is_a_drill_on_a_stack_that_is_not_disposable(ledger: Node) -> None:
    ledger.change({"stack": {"disposable": False}})
    for arguments in (["drill"], ["drill", "--dry-run"], ["recovery-drill"]):
        fails(ledger, ExitCode.USAGE, *arguments, said="not disposable")
    assert ledger.stack.running() == ()
    assert not ledger.stack._layout.data.exists()
    assert not ledger.backups.exists()


def test_3_is_a_server_that_does_not_run(ledger: Node) -> None:
    fails(ledger, ExitCode.MISSING, "backup", said=LEDGER_SERVER)
    assert not ledger.backups.exists()


def test_3_is_a_database_that_is_missing(shared_ledger: Node) -> None:
    name = shared_ledger.database
    shared_ledger.change({"stack": {"postgres": {"database": "nowhere"}}})
    try:
        fails(shared_ledger, ExitCode.MISSING, "backup", said="'nowhere'")
    finally:
        shared_ledger.change({"stack": {"postgres": {"database": name}}})


def test_4_is_a_damaged_dump(shared_ledger: Node, tmp_path: Path) -> None:
    whole = next(shared_ledger.backups.glob("*.dump")).read_bytes()
    cut = tmp_path / "cut.dump"
    cut.write_bytes(whole[: len(whole) // 2])
    before = shared_ledger.content()["ledger.entries"]
    fails(shared_ledger, ExitCode.NOT_EQUAL, "restore", f"--dump={cut}", said=str(cut))
    assert shared_ledger.content()["ledger.entries"] == before
    assert shared_ledger.stack.running() == EVERYTHING


def test_5_is_another_operation_under_way_and_names_it(shared_ledger: Node) -> None:
    with shared_ledger.operation("a long backup"):
        for arguments in (["backup"], ["drill"], ["restore", "--dump=latest"]):
            said = fails(shared_ledger, ExitCode.LOCKED, *arguments, said="a long backup")
            assert str(os.getpid()) in said
    assert shared_ledger.stack.running() == EVERYTHING


def test_6_is_a_health_that_never_comes(ledger: Node) -> None:
    ledger.change(
        {
            "stack": {"embedded": {"services": {API: ledger_service(API, "--ill")}}},
            "application": {"deadline": 2},
        }
    )
    said = fails(ledger, ExitCode.TIMED_OUT, "drill", said="was not healthy within")
    seconds = next(one["seconds"] for one in ledger.summary()["phases"] if one["name"] == "up")
    assert seconds < 30
    assert "inv stack.logs" in said
    assert ledger.summary()["error"]["exit_code"] == ExitCode.TIMED_OUT


def test_130_is_a_command_that_was_interrupted(shared_ledger: Node) -> None:
    slow = {"pg_dump": 'case "$*" in *--snapshot*) sleep 60;; esac; exec {real} "$@"'}
    with bin_dir(wheel_binaries(), slow) as folder:
        shared_ledger.change({"stack": {"embedded": {"bin_dir": str(folder)}}})
        try:
            done = hit(shared_ledger, signal.SIGINT, lambda: clients(shared_ledger), "backup")
        finally:
            shared_ledger.change({"stack": {"embedded": {"bin_dir": None}}})
    assert done.returncode == ExitCode.INTERRUPTED
    assert "interrupted" in done.stderr
