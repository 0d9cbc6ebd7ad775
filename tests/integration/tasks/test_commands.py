"""What commands ask, leave alone, and do beside each other."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cn_ops.journal import Intent, Journal
from cn_ops.operation import journal_path
from cn_ops.restore_plan import plan_restore
from tests.support.nodes import (
    LEDGER_SERVER,
    LEDGER_WRITERS,
    Node,
    ledger_settings,
    node,
)
from tests.support.processes import lives

EVERYTHING = (LEDGER_SERVER, *LEDGER_WRITERS)
SECRET = "hunter22-and-more"


@contextmanager
def changed(made: Node, changes: dict[str, Any]) -> Iterator[None]:
    """Change the settings for a while."""
    before = made._document
    made.change(changes)
    try:
        yield
    finally:
        made._document = before
        made.change({})


def test_confirmation_is_refused_where_nobody_can_type(shared_ledger: Node) -> None:
    with changed(shared_ledger, {"stack": {"disposable": False}}):
        for arguments in (["restore", "--dump=latest"], ["stack.down", "--volumes"]):
            done = shared_ledger.run(*arguments)
            assert done.returncode == 2, done.stderr
            assert shared_ledger.database in done.stderr
            assert "--yes" in done.stderr
    assert shared_ledger.stack.running() == EVERYTHING
    assert shared_ledger.journal is None


def typed(made: Node, text: str) -> tuple[int, str]:
    """Restore at a terminal, and type something; return the exit code and what was said."""
    ours, theirs = pty.openpty()
    try:
        with made.start("restore", "--dump=latest", stdin=theirs) as process:
            os.write(ours, f"{text}\n".encode())
            _, errors = process.communicate(timeout=90)
    finally:
        os.close(ours)
        os.close(theirs)
    return process.returncode, errors


def test_database_is_replaced_only_when_its_name_is_typed(shared_ledger: Node) -> None:
    with changed(shared_ledger, {"stack": {"disposable": False}}):
        entries = shared_ledger.content()["ledger.entries"]
        shared_ledger.rows("DELETE FROM ledger.entries WHERE id = 7")
        there = shared_ledger.content()["ledger.entries"]
        for text in ("yes", shared_ledger.database.upper()):
            code, errors = typed(shared_ledger, text)
            assert code == 2, errors
            assert "was not confirmed" in errors
            assert shared_ledger.content()["ledger.entries"] == there
        code, errors = typed(shared_ledger, shared_ledger.database)
        assert code == 0, errors
        assert shared_ledger.content()["ledger.entries"] == entries
        shared_ledger.rows("DELETE FROM ledger.entries WHERE id = 7")
        shared_ledger.ok("restore", "--dump=latest", "--yes")
        assert shared_ledger.content()["ledger.entries"] == entries


def test_dry_runs_change_nothing(shared_ledger: Node) -> None:
    shared_ledger.rows("DELETE FROM ledger.entries WHERE id = 9")
    there, files = shared_ledger.content()["ledger.entries"], shared_ledger.backup_files()
    for arguments in (
        ["backup", "--dry-run"],
        ["restore", "--dump=latest", "--dry-run"],
        ["prune", "--keep=1", "--dry-run"],
        ["drill", "--dry-run"],
        ["stack.down", "--volumes", "--dry-run"],
    ):
        assert shared_ledger.json(*arguments)
    assert shared_ledger.content()["ledger.entries"] == there
    assert shared_ledger.backup_files() == files
    assert shared_ledger.stack.running() == EVERYTHING
    assert shared_ledger.journal is None
    shared_ledger.ok("restore", "--dump=latest")


def test_server_that_was_stopped_is_started_for_a_restore_and_writers_stay_stopped(shared_ledger: Node) -> None:
    entries = shared_ledger.content()["ledger.entries"]
    shared_ledger.ok("stack.down")
    done = shared_ledger.run("restore", "--dump=latest")
    assert done.returncode == 0, done.stderr
    assert f"the server {LEDGER_SERVER} did not run" in done.stderr
    assert shared_ledger.stack.running() == (LEDGER_SERVER,)
    assert shared_ledger.content()["ledger.entries"] == entries
    shared_ledger.ok("stack.up")


def test_list_of_tasks_needs_none_of_the_heavy_libraries(shared_ledger: Node) -> None:
    script = (
        "import sys; from invoke import Program; import cn_ops.tasks\n"
        "ns = cn_ops.tasks.namespace(); assert 'drill' in ns.task_names\n"
        "heavy = {'pydantic', 'psycopg', 'rich', 'psutil', 'sh', 'starlette'} & set(sys.modules)\n"
        "print(sorted(heavy))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=shared_ledger.folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
    assert "drill" in shared_ledger.ok("--list")


def test_drill_three_times_in_a_row_leaves_as_much_each_time(ledger: Node) -> None:
    ledger.change({"backup": {"generations": 2}})
    for _ in range(3):
        assert ledger.json("drill")["status"] == "passed"
        assert ledger.stack.running() == ()
    assert len(list(ledger.backups.glob("*.dump"))) == 2
    assert len(list(ledger.settings.drill.results.glob("*-summary.json"))) == 4


def test_two_drills_at_once_in_two_folders_do_not_meet(ledger: Node, tmp_path: Path) -> None:
    with node(tmp_path / "another ledger", ledger_settings()) as other, ThreadPoolExecutor() as pool:
        for made in [pool.submit(one.json, "drill") for one in (ledger, other)]:
            assert made.result()["status"] == "passed"


def test_second_drill_in_the_same_folder_is_refused_while_the_first_is_under_way(ledger: Node) -> None:
    with ledger.start("drill", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        while not list(ledger.settings.drill.logs.glob("*.log")):
            assert first.poll() is None
            time.sleep(0.01)
        second = ledger.run("drill")
        assert second.returncode == 5, second.stderr
        assert f"`drill` (process {first.pid}" in second.stderr
        assert lives(first.pid)
        assert first.wait(90) == 0
    assert ledger.summary()["status"] == "passed"


def test_command_survives_a_reader_that_goes_away(shared_ledger: Node) -> None:
    with shared_ledger.start("backups", "--json") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(60) in (0, 1)
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    assert process.returncode != -signal.SIGPIPE


def test_status_tells_what_is_under_way_from_what_was_killed(shared_ledger: Node) -> None:
    journal = Journal(journal_path(shared_ledger.settings, shared_ledger.stack))
    try:
        journal.write(Intent("restore", pid=7, stopped=LEDGER_WRITERS))
        assert "`inv heal` finishes or undoes it" in shared_ledger.ok("stack.status")
        with shared_ledger.operation("restore"):
            said = " ".join(shared_ledger.ok("stack.status").split())
            assert f"restore (process 7); `restore` (process {os.getpid()}) is at work" in said
        journal.path.write_text("{")
        said = shared_ledger.ok("stack.status")
        assert f"the journal {journal.path} cannot be understood" in " ".join(said.split())
        assert LEDGER_SERVER in said
    finally:
        journal.path.unlink()


def test_healing_tells_of_a_server_that_it_starts(ledger: Node) -> None:
    ledger.ok("stack.up")
    ledger.ok("backup")
    with ledger.operation("restore") as operation:
        plan = plan_restore(operation, "latest", ledger.folder)
        operation.intend(recreating=plan.recreation)
    ledger.ok("stack.down")
    done = ledger.run("heal")
    assert done.returncode == 0
    assert f"the server {LEDGER_SERVER} did not run: it is started" in " ".join(done.stderr.split())
