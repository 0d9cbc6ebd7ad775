"""Ctrl-C and SIGTERM are designed paths: exit code 130, a report, and nothing left at work."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from cn_ops.drill import DRILL_PHASES
from cn_ops.generations import NOTHING_MADE
from cn_ops.stack.embedded_layout import wheel_binaries
from tests.support.nodes import LEDGER_SERVER, LEDGER_WRITERS, Node, bin_dir
from tests.support.signals import clients, hit, no_client_is_left, partial_files, phase_begins

EVERYTHING = (LEDGER_SERVER, *LEDGER_WRITERS)
# A lost terminal is handled where SIGTERM is: one test of it is enough.
SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
# Tools that stop in the middle of their work, as on a large database.
SLOW = {
    "pg_dump": 'case "$*" in *--snapshot*) {real} "$@" | head -c 4000; sleep 60;; esac; exec {real} "$@"',
    "pg_restore": 'case "$*" in *--exit-on-error*) sleep 60;; esac; exec {real} "$@"',
}


@pytest.fixture
def slow(shared_ledger: Node) -> Iterator[Node]:
    with bin_dir(wheel_binaries(), SLOW) as folder:
        shared_ledger.change({"stack": {"embedded": {"bin_dir": str(folder)}}})
        yield shared_ledger
        shared_ledger.change({"stack": {"embedded": {"bin_dir": None}}})


@pytest.mark.timeout(400)
def test_drill_interrupted_in_every_phase_reports_it_and_the_next_one_goes_on(ledger: Node) -> None:
    for position, phase in enumerate(DRILL_PHASES):
        number = signal.SIGTERM if position % 2 else signal.SIGINT
        done = hit(ledger, number, phase_begins(ledger, phase), "drill", "--events=2000")
        assert done.returncode == 130, f"{phase}: {done.stderr}"
        summary = ledger.summary()
        assert (summary["status"], summary["error"]["exit_code"]) == ("failed", 130)
        # A phase of some milliseconds may have ended before the signal came.
        assert summary["error"]["phase"] in (*DRILL_PHASES[position:], "before the first phase")
        assert summary["error"]["database_state"]
        assert "now:" in done.stderr
        no_client_is_left(ledger)
        assert partial_files(ledger.backups) == []
    ledger.ok("drill", "--events=2000")
    assert ledger.summary()["status"] == "passed"
    assert ledger.journal is None
    assert ledger.stack.running() == ()


@SIGNALS
def test_interrupted_backup_leaves_no_generation_and_no_client(slow: Node, number: signal.Signals) -> None:
    before = slow.backup_files()
    done = hit(slow, number, lambda: any("--snapshot" in tool for tool in clients(slow)), "backup", "--json")
    assert done.returncode == 130
    error = json.loads(done.stdout)["error"]
    assert (error["exit_code"], error["state"]) == (130, NOTHING_MADE)
    assert slow.backup_files() == before
    assert slow.stack.running() == EVERYTHING
    no_client_is_left(slow)


@SIGNALS
@pytest.mark.parametrize("strategy", ["beside", "recreate"])
def test_interrupted_restore_says_what_is_left_and_the_next_command_finishes_it(
    slow: Node, number: signal.Signals, strategy: str
) -> None:
    dump = slow.content()["ledger.entries"]
    loading = lambda: any("--exit-on-error" in tool for tool in clients(slow))  # noqa: E731
    done = hit(slow, number, loading, "restore", "--dump=latest", f"--strategy={strategy}")
    assert done.returncode == 130
    if strategy == "beside":
        assert "is as it was" in done.stderr
        assert slow.content()["ledger.entries"] == dump
        assert slow.stack.running() == EVERYTHING
    else:
        assert "is not there, and its writers are stopped; `inv heal` restores it" in done.stderr
    no_client_is_left(slow)
    slow.change({"stack": {"embedded": {"bin_dir": None}}})
    slow.ok("heal")
    assert slow.content()["ledger.entries"] == dump
    assert slow.stack.running() == EVERYTHING


@SIGNALS
def test_restore_interrupted_while_it_checks_changes_nothing(shared_ledger: Node, number: signal.Signals) -> None:
    dump = shared_ledger.content()["ledger.entries"]
    script = {"pg_restore": 'case "$*" in *--file=/dev/null*) sleep 60;; esac; exec {real} "$@"'}
    with bin_dir(wheel_binaries(), script) as folder:
        shared_ledger.change({"stack": {"embedded": {"bin_dir": str(folder)}}})
        try:
            moment = lambda: any("--file=/dev/null" in tool for tool in clients(shared_ledger))  # noqa: E731
            done = hit(shared_ledger, number, moment, "restore", "--dump=latest")
        finally:
            shared_ledger.change({"stack": {"embedded": {"bin_dir": None}}})
    assert done.returncode == 130
    assert shared_ledger.content()["ledger.entries"] == dump
    assert shared_ledger.journal is None
    assert shared_ledger.stack.running() == EVERYTHING
    no_client_is_left(shared_ledger)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_restore_interrupted_while_it_stops_the_writers_starts_them_again(
    shared_ledger: Node, number: signal.Signals
) -> None:
    dump = shared_ledger.content()["ledger.entries"]
    moment = lambda: bool(shared_ledger.journal and shared_ledger.journal.stopped)  # noqa: E731
    done = hit(shared_ledger, number, moment, "restore", "--dump=latest")
    assert done.returncode == 130
    shared_ledger.ok("heal")
    assert shared_ledger.content()["ledger.entries"] == dump
    assert shared_ledger.stack.running() == EVERYTHING
