"""What goes wrong around a command: it says so, and everything is as it was."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.leftovers import run_id
from tests.support.nodes import (
    CLOCK,
    LEDGER_SERVER,
    LEDGER_WRITERS,
    Node,
    ledger_service,
)
from tests.support.ordinary import ordinary_user

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


def refused_drill(made: Node, code: int, *arguments: str, phase: str) -> str:
    """Drill, which must fail in a phase before any damage; return what it said."""
    entries, files = made.content()["ledger.entries"], made.backup_files()
    done = made.run("drill", *arguments)
    assert done.returncode == code, done.stderr
    summary = made.summary()
    assert (summary["status"], summary["error"]["phase"]) == ("failed", phase)
    assert summary["error"]["database_state"]
    assert summary["error"]["hint"]
    assert summary["after_corruption_event_count"] is None
    assert made.content()["ledger.entries"] == entries
    assert made.backup_files() == files
    assert made.stack.running() == EVERYTHING
    return done.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("exit 3", "ended with exit code 3"),
        ("true", "printed no line E2E_SEED_JSON="),
        ("echo seeded 9 events", "printed no line E2E_SEED_JSON="),
        ("echo E2E_SEED_JSON=", "printed no line E2E_SEED_JSON="),
        ("echo 'E2E_SEED_JSON={\"events\": 9'", "printed no line E2E_SEED_JSON="),
        ("echo 'E2E_SEED_JSON=[1, 2]'", "printed no line E2E_SEED_JSON="),
    ],
)
def test_seed_that_fails_or_prints_no_json_stops_the_drill(shared_ledger: Node, command: str, said: str) -> None:
    with changed(shared_ledger, {"drill": {"seed": ["sh", "-c", command]}}):
        assert said in refused_drill(shared_ledger, 1, phase="seed")


def test_seed_that_is_not_installed_is_named(shared_ledger: Node) -> None:
    with changed(shared_ledger, {"drill": {"seed": ["no-such-seed"]}}):
        assert "no-such-seed" in refused_drill(shared_ledger, 2, phase="seed")


def test_password_that_a_seed_prints_is_written_nowhere(shared_ledger: Node) -> None:
    command = f"echo password={SECRET}; echo postgresql://cn:{SECRET}@db/cn >&2; exit 1"
    with changed(shared_ledger, {"drill": {"seed": ["sh", "-c", command]}}):
        said = refused_drill(shared_ledger, 1, phase="seed")
    assert SECRET not in said
    for folder in (shared_ledger.settings.drill.results, shared_ledger.settings.drill.logs):
        for path in folder.glob("*.*"):
            if path.is_file():
                assert SECRET not in path.read_text()


def test_baseline_of_no_rows_is_refused(shared_ledger: Node) -> None:
    shared_ledger.rows("CREATE TABLE IF NOT EXISTS ledger.empty (n int)")
    with changed(shared_ledger, {"drill": {"count_table": "ledger.empty", "truncate": ["ledger.empty"]}}):
        assert "0 rows" in refused_drill(shared_ledger, 1, phase="baseline")


def test_writer_that_refuses_to_stop_is_killed_and_comes_back(ledger: Node) -> None:
    ledger.change(
        {
            "stack": {
                "embedded": {"services": {CLOCK: ledger_service(CLOCK, "--stubborn")}},
                "stop_deadline": 0.5,
            }
        }
    )
    ledger.ok("drill")
    summary = ledger.summary()
    stopping = next(one for one in summary["phases"] if one["name"] == "stop writers")
    assert summary["status"] == "passed"
    assert 0.5 <= stopping["seconds"] < 10
    assert ledger.stack.running() == ()


def test_server_that_does_not_become_ready_is_given_up_within_its_deadline(ledger: Node) -> None:
    ledger.stack.start_postgres()
    data = ledger.stack._layout.data
    ledger.stack.stop([LEDGER_SERVER])
    # A recovery that never reaches its end: the server starts, and is never ready.
    (data / "recovery.signal").touch()
    with (data / "postgresql.conf").open("a") as configuration:
        configuration.write("restore_command = 'sleep 100'\n")
    ledger.change({"stack": {"postgres": {"deadline": 2}}})
    began = time.monotonic()
    done = ledger.run("stack.up")
    assert done.returncode == 6, done.stderr
    assert "did not become ready within 2 s" in done.stderr
    assert time.monotonic() - began < 30


def test_port_that_is_taken_is_given_up_for_another(ledger: Node) -> None:
    ledger.ok("stack.up")
    url = ledger.stack.base_url
    ledger.ok("stack.down")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have ended linger
        taken.bind(("127.0.0.1", int(url.rpartition(":")[2])))
        taken.listen()
        ledger.ok("stack.up")
        assert ledger.stack.base_url != url
        assert ledger.stack.running() == EVERYTHING


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a file system in memory")
def test_disk_that_is_full_while_dumping_leaves_no_generation(shared_ledger: Node) -> None:
    with small_disk() as folder, changed(shared_ledger, {"backup": {"directory": str(folder / "backups")}}):
        shared_ledger.rows("CREATE TABLE ledger.noise (t text)")
        shared_ledger.rows(
            "INSERT INTO ledger.noise SELECT string_agg(md5(random()::text), '')"
            " FROM generate_series(1, 100000) AS n GROUP BY n % 1000"
        )
        done = shared_ledger.run("backup")
        shared_ledger.rows("DROP TABLE ledger.noise")
        assert done.returncode == 3, done.stderr
        assert "No space left on device" in done.stderr
        assert "no generation was made" in done.stderr
        assert str(folder) in done.stderr
        assert shared_ledger.backup_files() == set()
        assert shared_ledger.stack.running() == EVERYTHING


@contextmanager
def small_disk() -> Iterator[Path]:
    """Give a file system of 1 MB."""
    folder = Path(tempfile.mkdtemp(prefix=f"cn-ops-test-{run_id()}-", dir="/var/tmp"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], capture_output=True, text=True, check=False
    )
    try:
        if mounted.returncode != 0:
            pytest.skip(f"no file system can be mounted: {mounted.stderr.strip()}")
        yield folder
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()


READ_ONLY = """
import os
from datetime import UTC, datetime
from pathlib import Path
from cn_ops.errors import OpsError
from cn_ops.generations import draft, folder_lock
folder = Path("backups"); folder.mkdir(); folder.chmod(0o500)
for attempt in (lambda: folder_lock(folder, "backup"), lambda: draft(folder, "node", datetime.now(UTC))):
    try:
        with attempt():
            print("it was written")
    except OpsError as error:
        print(int(error.exit_code), error.message, "|", error.hint)
print(os.listdir(folder))
"""


def test_backup_folder_that_is_read_only_is_named() -> None:
    with ordinary_user() as user:
        done = user.run(READ_ONLY)
    assert done.returncode == 0, done.stderr
    locking, drafting, listing = done.stdout.splitlines()
    for line in (locking, drafting):
        assert line.startswith("2 cannot ")
        assert "backups" in line
        assert "Permission denied" in line
        assert "writable" in line
    assert listing == "[]"
