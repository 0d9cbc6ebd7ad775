"""Tables that are truncated or altered while a backup begins: it tries again, and never waits for ever."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from cn_ops.errors import OperationFailed
from cn_ops.phases import Phases, Silent
from cn_ops.postgres import fingerprint, parallel
from cn_ops.source import find_source
from cn_ops.verify import verify
from tests.support.nodes import Node, connected
from tests.support.operations import Tools, back_up, tells_everything

# As on a server far away: long enough for somebody to come between the sessions of a backup.
LATE = 'case "$*" in *--lock-wait-timeout*) echo >> {dumps}; sleep 0.5;; esac; exec {real} "$@"'
SLOW = (
    'case "$*" in *--lock-wait-timeout*) echo >> {dumps}; {real} "$@"; code=$?; sleep 1; exit $code;; esac;'
    ' exec {real} "$@"'
)
# Here somebody comes between the snapshot and the first lock.
LATE_LOCKS = 'case "$*" in *--schema-only*) {real} "$@"; echo >> {dumps}; sleep 0.5;; *) exec {real} "$@";; esac'
CHANGES = [
    "TRUNCATE busy.items",
    "ALTER TABLE busy.items ALTER COLUMN n TYPE bigint",
    "DROP TABLE IF EXISTS busy.gone",
]


@pytest.fixture
def busy(site: Node) -> Node:
    site.rows("CREATE SCHEMA busy; CREATE TABLE busy.items AS SELECT generate_series(1, 9) AS n")
    site.rows("CREATE TABLE busy.gone ()")
    return site


@pytest.fixture(params=[parallel.MOST_HELD, 0], ids=["held", "too many to be held"])
def held(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to deal with tables: a thousand of them would take long to make."""
    monkeypatch.setattr(parallel, "MOST_HELD", request.param)


@contextmanager
def changing(site: Node, statement: str, counted: Path, times: int) -> Iterator[None]:
    """Change a table when a backup holds it and its pg_dump has just been started, so many times."""
    stop = threading.Event()

    def change() -> None:
        with closing(connected(site.stack, site.database)) as connection:
            for number in range(times):
                while dumps(counted) <= number:
                    if stop.wait(0.01):
                        return
                connection.execute(statement.encode())

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)


def dumps(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("statement", CHANGES)
def test_change_that_comes_between_the_sessions_of_a_backup_makes_it_begin_again(
    statement: str, busy: Node, tools: Tools, tmp_path: Path
) -> None:
    counted = tmp_path / "dumps"
    tools(busy, pg_dump=LATE.replace("{dumps}", f"'{counted}'"))
    with changing(busy, statement, counted, 1):
        made = back_up(busy)
    assert dumps(counted) == 2
    source = find_source(busy.settings.backup, made.generation.id, busy.folder)
    verify(busy.stack, source, busy.settings.restore, Phases(Silent()))


@pytest.mark.usefixtures("held")
def test_table_that_is_filled_anew_between_snapshot_and_locks_is_not_backed_up_empty(
    busy: Node, tools: Tools, tmp_path: Path
) -> None:
    counted = tmp_path / "dumps"
    tools(busy, pg_dump=LATE_LOCKS.replace("{dumps}", f"'{counted}'"))
    refill = "TRUNCATE busy.items; INSERT INTO busy.items SELECT generate_series(1, 11)"
    with changing(busy, refill, counted, 1):
        made = back_up(busy)
    assert dumps(counted) == 2
    assert rows_of(made.generation.manifest_file, "busy.items") == 11


def test_tables_that_are_not_held_are_read_in_several_transactions_and_alike(
    busy: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = fingerprint.take(busy.stack, busy.database, jobs=1)
    monkeypatch.setattr(parallel, "MOST_HELD", 0)
    monkeypatch.setattr(parallel, "PIECES_PER_TRANSACTION", 2)
    monkeypatch.setattr(parallel, "BLOCKS_PER_SESSION", 1)
    assert fingerprint.take(busy.stack, busy.database, jobs=3) == held


@pytest.mark.usefixtures("held")
def test_changes_without_end_fail_the_backup_and_say_so(
    busy: Node, tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "ATTEMPTS", 2)
    counted = tmp_path / "dumps"
    tools(busy, pg_dump=LATE.replace("{dumps}", f"'{counted}'"))
    with (
        changing(busy, "TRUNCATE busy.items", counted, 100),
        pytest.raises(OperationFailed, match="all the time") as failed,
    ):
        back_up(busy)
    assert dumps(counted) == 2
    assert tells_everything(failed.value)
    assert busy.backup_files() == set()


def test_change_that_comes_while_the_dump_runs_waits_for_its_end(busy: Node, tools: Tools, tmp_path: Path) -> None:
    counted = tmp_path / "dumps"
    tools(busy, pg_dump=SLOW.replace("{dumps}", f"'{counted}'"))
    done = threading.Event()

    def truncate() -> None:
        with closing(connected(busy.stack, busy.database)) as connection:
            while not counted.exists() and not done.wait(0.01):
                pass
            done.wait(0.5)  # pg_dump has its locks by then, or the backup begins again
            connection.execute("TRUNCATE busy.items")

    thread = threading.Thread(target=truncate)
    thread.start()
    made = back_up(busy)
    done.set()
    thread.join(60)
    assert rows_of(made.generation.manifest_file, "busy.items") in ((9, 0) if dumps(counted) > 1 else (9,))


def rows_of(manifest_file: Path, name: str) -> object:
    tables = json.loads(manifest_file.read_text())["fingerprint"]["tables"]
    (rows,) = [one["rows"] for one in tables if one["name"] == name]
    return rows
