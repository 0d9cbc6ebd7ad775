"""kill -9 at any moment: the next command heals, without help."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest

from cn_ops.drill import DRILL_PHASES
from cn_ops.generations import read_catalogue
from cn_ops.stack.embedded_layout import wheel_binaries
from tests.support.nodes import LEDGER_SERVER, LEDGER_WRITERS, Node, bin_dir
from tests.support.signals import clients, hit, no_client_is_left, partial_files, phase_begins

EVERYTHING = (LEDGER_SERVER, *LEDGER_WRITERS)
SLOW = 'case "$*" in *--exit-on-error*) head -c 9000 | {real} "$@"; sleep 60;; esac; exec {real} "$@"'
SLOW_DUMP = 'case "$*" in *--snapshot*) {real} "$@" | head -c 4000; sleep 60;; esac; exec {real} "$@"'
BESIDE = ("restore", "--dump=latest")
RECREATE = (*BESIDE, "--strategy=recreate")
BESIDE_MOMENTS = ("planned", "made", "restored", "verified", "writers stopped")
RECREATE_MOMENTS = ("writers stopped", "planned", "made", "restored", "verified")


def kill(node: Node, moment: Callable[[], object], *arguments: str) -> None:
    assert hit(node, signal.SIGKILL, moment, *arguments).returncode == -signal.SIGKILL


@pytest.mark.timeout(400)
def test_drill_killed_in_every_phase_works_when_it_is_run_again(ledger: Node) -> None:
    """Each one finds what the one before has left; the last is left to end."""
    for phase in DRILL_PHASES:
        kill(ledger, phase_begins(ledger, phase), "drill", "--events=2000")
    ledger.ok("drill", "--events=2000")
    assert ledger.summary()["status"] == "passed"
    assert ledger.journal is None
    assert ledger.stack.running() == ()
    no_client_is_left(ledger)
    assert partial_files(ledger.backups) == []


@pytest.mark.parametrize("phase", ["up", "restore", "clean up"])
def test_stack_that_a_killed_drill_had_started_is_taken_down_by_heal(ledger: Node, phase: str) -> None:
    kill(ledger, phase_begins(ledger, phase), "drill")
    ledger.ok("heal")
    assert ledger.journal is None
    assert ledger.stack.running() == ()
    assert ledger.ok("heal").strip() == "nothing to heal"


@pytest.fixture(scope="module")
def busy(shared_ledger: Node) -> Node:
    return shared_ledger


@pytest.fixture
def slow(busy: Node) -> Iterator[None]:
    """Client tools that stop in the middle of their work, as on a large database."""
    with bin_dir(wheel_binaries(), {"pg_restore": SLOW, "pg_dump": SLOW_DUMP}) as folder:
        busy.change({"stack": {"embedded": {"bin_dir": str(folder)}}})
        yield
        busy.change({"stack": {"embedded": {"bin_dir": None}}})


def entries(node: Node) -> tuple[int, str]:
    return node.content()["ledger.entries"]


def moment_of_restore(node: Node, name: str) -> Callable[[], bool]:
    def told(text: str) -> bool:
        return text in (node.folder / "stderr.txt").read_text()

    def recorded(made: bool) -> bool:
        left = node.journal
        return bool(left and left.recreating and (left.recreating.new_oid is not None) == made)

    return {
        "writers stopped": lambda: bool(node.journal and node.journal.stopped),
        "planned": lambda: recorded(False),
        "made": lambda: recorded(True),
        "restored": lambda: told("✓ restore"),
        "verified": lambda: told("✓ verify"),
    }[name]


@pytest.mark.parametrize(
    ("command", "moment"),
    [*((BESIDE, moment) for moment in BESIDE_MOMENTS), *((RECREATE, moment) for moment in RECREATE_MOMENTS)],
)
def test_restore_killed_at_any_moment_is_healed_by_the_next_command(
    busy: Node, command: tuple[str, ...], moment: str
) -> None:
    dump = entries(busy)
    busy.rows("DELETE FROM ledger.entries WHERE id > 40")
    untouched = entries(busy)
    kill(busy, moment_of_restore(busy, moment), *command)
    busy.ok("heal")
    is_dropped = command == RECREATE and moment in ("restored", "verified")
    assert entries(busy) in ((dump,) if is_dropped else (dump, untouched))
    assert busy.journal is None
    assert busy.stack.running() == EVERYTHING
    no_client_is_left(busy)
    busy.ok(*command)
    assert entries(busy) == dump
    assert busy.stack.running() == EVERYTHING


@pytest.mark.parametrize("command", [BESIDE, RECREATE])
def test_restore_killed_in_the_middle_of_loading_is_finished_or_undone(
    busy: Node, slow: None, command: tuple[str, ...]
) -> None:
    dump = entries(busy)
    kill(busy, moment_of_restore(busy, "made"), *command)
    no_client_is_left(busy)
    assert busy.stack.running() == (EVERYTHING if command == BESIDE else (LEDGER_SERVER,))
    busy.change({"stack": {"embedded": {"bin_dir": None}}})
    busy.ok("backup")  # any command that changes something heals first
    assert entries(busy) == dump
    assert busy.stack.running() == EVERYTHING
    assert busy.journal is None


def test_backup_killed_while_dumping_leaves_the_catalogue_as_it_was(busy: Node, slow: None) -> None:
    before = [one.id for one in read_catalogue(busy.backups, "ledger").complete]
    kill(busy, lambda: any("--snapshot" in tool for tool in clients(busy)), "backup")
    assert [one.id for one in read_catalogue(busy.backups, "ledger").complete] == before
    assert partial_files(busy.backups)
    assert busy.stack.running() == EVERYTHING
    no_client_is_left(busy)
    busy.change({"stack": {"embedded": {"bin_dir": None}}})
    busy.ok("backup")
    assert partial_files(busy.backups) == []
    assert len(read_catalogue(busy.backups, "ledger").complete) == len(before) + 1


def test_writer_that_was_stopped_before_a_killed_restore_stays_stopped(busy: Node) -> None:
    busy.stack.stop(LEDGER_WRITERS[1:])
    kill(busy, moment_of_restore(busy, "made"), *RECREATE)
    busy.ok("heal")
    assert busy.stack.running() == EVERYTHING[:2]
    busy.ok("stack.up")
