"""Hitting a running command at a chosen moment."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.support.nodes import Node
from tests.support.processes import wait_until

PATIENCE = 60.0


def drill_log(node: Node) -> str:
    """Return what the newest log of a drill holds so far."""
    logs = sorted(node.settings.drill.logs.glob("*.log"), key=lambda path: path.stat().st_mtime_ns)
    return logs[-1].read_text() if logs else ""


def hit(
    node: Node, number: signal.Signals, moment: Callable[[], object], *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run a task and send it a signal at a moment; return how it ended. The moment must come before its end."""
    errors = node.folder / "stderr.txt"
    with errors.open("w+") as stream, node.start(*arguments, stderr=stream) as process:
        try:
            end = time.monotonic() + PATIENCE
            while not moment():
                assert process.poll() is None, f"it ended before the moment came:\n{errors.read_text()}"
                assert time.monotonic() < end, f"the moment never came:\n{errors.read_text()}"
                time.sleep(0.002)
            os.kill(process.pid, number)
            out, _ = process.communicate(timeout=PATIENCE)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, errors.read_text())


def phase_begins(node: Node, phase: str) -> Callable[[], bool]:
    """Return the moment at which a drill that starts from now on begins a phase."""
    before = {path.name for path in node.settings.drill.logs.glob("*.log")}

    def moment() -> bool:
        logs = [path for path in node.settings.drill.logs.glob("*.log") if path.name not in before]
        return any(f"phase {phase}: begins" in path.read_text() for path in logs)

    return moment


def clients(node: Node) -> list[str]:
    """Return the client tools of PostgreSQL that belong to a node's command and still run."""
    names = ("pg_dump", "pg_restore", "pg_dumpall", "psql")
    sockets = str(node.stack._layout.sockets)
    found = []
    for process in psutil.process_iter():
        try:
            if process.name() in names and process.environ().get("PGHOST") == sockets:
                found.append(" ".join(process.cmdline()))
        except (psutil.Error, OSError):
            continue
    return found


def no_client_is_left(node: Node) -> None:
    """Fail unless every client tool and every session of ours is gone in a moment."""
    wait_until(lambda: not clients(node), 5)
    if node.settings.stack.postgres.service in node.stack.running():
        ours = "SELECT application_name FROM pg_stat_activity WHERE application_name ~ '^(cn-ops|pg_|psql)'"
        wait_until(lambda: not node.rows(ours, "postgres"), 5)


def partial_files(folder: Path) -> list[str]:
    """Return what an unfinished backup has left in a folder."""
    return [path.name for path in folder.glob(".*.partial")]
