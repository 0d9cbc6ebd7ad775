"""What stands around a command: streams that cannot be written to, options of Invoke's own, names that look odd."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from cn_ops.errors import ExitCode
from tests.support.nodes import Node

FULL = Path("/dev/full")  # every write fails, as on a full disk
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


@pytest.mark.parametrize(("options", "meant"), [(["--dry"], "--dry-run"), (["-R"], "--dry-run")])
def test_option_of_invoke_that_would_do_nothing_is_refused(
    options: list[str], meant: str, shared_ledger: Node
) -> None:
    shared_ledger.ok("backup")
    before = shared_ledger.backup_files()
    for arguments in (["prune", "--keep=1"], ["restore", "--dump=latest"], ["stack.down", "--volumes"]):
        done = shared_ledger.run(*arguments, *options)
        assert done.returncode == ExitCode.USAGE
        assert meant in done.stderr
    assert shared_ledger.backup_files() == before
    assert shared_ledger.content()["ledger.entries"]


def test_no_option_has_a_letter_that_means_something_else_in_another_command(shared_ledger: Node) -> None:
    before = shared_ledger.backup_files()
    for arguments in (["prune", "-t"], ["restore", "-d", "latest"]):
        done = shared_ledger.run(*arguments)
        assert done.returncode != 0
        assert "No idea what" in done.stderr
    assert shared_ledger.backup_files() == before


@needs_full
def test_full_disk_below_the_log_keeps_nothing_from_being_done(shared_ledger: Node) -> None:
    before = shared_ledger.backup_files()
    with FULL.open("w") as full:
        done = shared_ledger.run("backup", "--json", stderr=full)
    assert done.returncode == 0
    assert json.loads(done.stdout)["manifest"]["id"]
    assert shared_ledger.backup_files() > before


@needs_full
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_result_that_cannot_be_written_is_told_and_was_reached(options: list[str], shared_ledger: Node) -> None:
    before = shared_ledger.backup_files()
    with FULL.open("w") as full:
        done = shared_ledger.run("backup", *options, stdout=full)
    assert done.returncode == ExitCode.FAILED
    assert "the result cannot be written to standard output: No space left on device" in done.stderr
    assert "the command itself came to its end" in done.stderr
    assert "Traceback" not in done.stderr
    assert shared_ledger.backup_files() > before


@needs_full
def test_failure_is_told_when_its_result_cannot_be_written(ledger: Node) -> None:
    """Exit code and error are the drill's own."""
    ledger.change({"drill": {"seed": ["false"]}})
    with FULL.open("w") as full:
        done = ledger.run("drill", stdout=full)
    assert done.returncode == ledger.summary()["error"]["exit_code"] == ExitCode.FAILED
    assert ledger.summary()["error"]["message"] in " ".join(done.stderr.split())
    assert "the result cannot be written" in done.stderr


def test_closed_input_is_nobody_to_ask(shared_ledger: Node) -> None:
    shared_ledger.change({"stack": {"disposable": False}})
    argv = ["sh", "-c", 'exec "$@" <&-', "sh", *shared_ledger.argv("stack.down", "--volumes")]
    try:
        done = subprocess.run(argv, cwd=shared_ledger.folder, capture_output=True, text=True, timeout=90, check=False)
    finally:
        shared_ledger.change({"stack": {"disposable": True}})
    assert done.returncode == ExitCode.USAGE
    assert "that needs a confirmation" in done.stderr
    assert shared_ledger.content()["ledger.entries"]


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_stream_is_no_error(closed: str, shared_ledger: Node) -> None:
    before = shared_ledger.backup_files()
    script = f'exec "$@" {closed}'
    argv = ["sh", "-c", script, "sh", *shared_ledger.argv("backup")]
    done = subprocess.run(argv, cwd=shared_ledger.folder, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    assert shared_ledger.backup_files() > before


def test_name_that_looks_like_markup_is_shown_as_it_is(tmp_path: Path, ledger: Node) -> None:
    folder = tmp_path / "of [prod] x[/y] :warning:"
    folder.mkdir(parents=True)
    (folder / "tasks.py").write_text((ledger.folder / "tasks.py").read_text())
    (folder / "cn_ops.yaml").write_text((ledger.folder / "cn_ops.yaml").read_text())
    done = subprocess.run(ledger.argv("config"), cwd=folder, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    assert f"root: {folder}\n" in done.stdout
