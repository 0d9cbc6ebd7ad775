"""Tables that are truncated or altered while a backup begins: it tries again, and never waits for ever."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from cn_ops.errors import OperationFailed
from cn_ops.model import BackupResult
from cn_ops.phases import Phases, Silent
from cn_ops.postgres import contents, fingerprint, parallel
from cn_ops.postgres.parallel import ContentsReader
from cn_ops.postgres.snapshot import snapshot
from cn_ops.source import find_source
from cn_ops.verify import verify
from tests.support.nodes import Node, connected
from tests.support.operations import Tools, back_up, tells_everything
from tests.support.processes import wait_until

# As on a server far away: long enough for somebody to come between the sessions of a backup.
LATE = 'case "$*" in *--lock-wait-timeout*) echo >> {dumps}; sleep 0.5;; esac; exec {real} "$@"'
SLOW = (
    'case "$*" in *--lock-wait-timeout*) echo >> {dumps}; {real} "$@"; code=$?; sleep 1; exit $code;; esac;'
    ' exec {real} "$@"'
)
# Here somebody comes between the snapshot and the first lock.
LATE_LOCKS = 'case "$*" in *--schema-only*) {real} "$@"; echo >> {dumps}; sleep 0.5;; *) exec {real} "$@";; esac'
NEW_ITEMS = "CREATE TABLE busy.new AS SELECT generate_series(1, 11) AS n"
LATE_CHANGES = [
    ("TRUNCATE busy.items; INSERT INTO busy.items SELECT generate_series(1, 11)", 11),
    (f"{NEW_ITEMS}; ALTER TABLE busy.items RENAME TO old; ALTER TABLE busy.new RENAME TO items", 11),
    (f"ALTER SCHEMA busy RENAME TO was; CREATE SCHEMA busy; {NEW_ITEMS}; ALTER TABLE busy.new RENAME TO items", 11),
    ("DROP TABLE busy.gone", 9),
]
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


def backed_up_the_second_time(site: Node, statement: str, counted: Path) -> BackupResult:
    with changing(site, statement, counted, 1):
        made = back_up(site)
    assert dumps(counted) == 2
    return made


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("statement", CHANGES)
def test_change_that_comes_between_the_sessions_of_a_backup_makes_it_begin_again(
    statement: str, busy: Node, tools: Tools, tmp_path: Path
) -> None:
    tools(busy, pg_dump=LATE.replace("{dumps}", f"'{tmp_path / 'dumps'}'"))
    made = backed_up_the_second_time(busy, statement, tmp_path / "dumps")
    source = find_source(busy.settings.backup, made.generation.id, busy.folder)
    verify(busy.stack, source, busy.settings.restore, Phases(Silent()))


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize(("statement", "rows"), LATE_CHANGES)
def test_table_that_is_replaced_between_snapshot_and_locks_is_not_backed_up_empty(
    statement: str, rows: int, busy: Node, tools: Tools, tmp_path: Path
) -> None:
    tools(busy, pg_dump=LATE_LOCKS.replace("{dumps}", f"'{tmp_path / 'dumps'}'"))
    made = backed_up_the_second_time(busy, statement, tmp_path / "dumps")
    assert rows_of(made.generation.manifest_file, "busy.items") == rows


def test_tables_that_are_not_held_are_read_in_several_batches_and_alike(
    busy: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = fingerprint.take(busy.stack, busy.database, jobs=1)
    monkeypatch.setattr(parallel, "MOST_HELD", 0)
    monkeypatch.setattr(parallel, "PIECES_PER_BATCH", 2)
    monkeypatch.setattr(parallel, "BLOCKS_PER_SESSION", 1)
    assert fingerprint.take(busy.stack, busy.database, jobs=3) == held


def test_session_that_waits_for_a_table_that_is_not_held_holds_no_other(
    busy: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else may wait for what it has read: each would wait for the other."""
    monkeypatch.setattr(parallel, "MOST_HELD", 0)
    monkeypatch.setattr(parallel, "SECOND_SECONDS", 1)
    with snapshot(busy.stack, busy.database) as view, closing(connected(busy.stack, busy.database)) as other:
        contents.pin_text(view.connection)
        reader = ContentsReader(view.connection, view.id, 1)
        with reader.holding(), ThreadPoolExecutor(1) as pool:
            other.autocommit = False
            # The smallest table, which is read last; and then the largest.
            other.execute("LOCK TABLE busy.gone")
            reading = pool.submit(reader.read, lambda _: None)
            waiting = "SELECT count(*) = 1 FROM pg_locks WHERE relation = 'busy.gone'::regclass AND NOT granted"
            wait_until(lambda: busy.rows(waiting) == [(True,)])
            other.execute("SET lock_timeout = '20s'")
            other.execute("LOCK TABLE cn_relay.events")
            assert not reading.done()
            other.rollback()
            tables, _ = reading.result(60)
    assert {"busy.gone", "busy.items", "cn_relay.events"} <= {one.name for one in tables}


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
    # What waited for the first attempt's locks may come before those of the second one, which then dumps nothing.
    assert dumps(counted) in (1, 2)
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
