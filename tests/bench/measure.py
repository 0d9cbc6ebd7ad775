"""Run a command and measure it: seconds, CPU seconds here and of the server, peak memory of the process itself."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class Sample:
    """One run; ``bytes_out`` is the size of what it made, ``parts`` the seconds of its phases."""

    seconds: float
    cpu_seconds: float
    server_cpu_seconds: float
    peak_bytes: int
    bytes_out: int | None = None
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Ran:
    """What a command said, and what it cost."""

    output: str
    sample: Sample


def run(
    argv: Sequence[str],
    *,
    server_cpu: Callable[[], float],
    env: Mapping[str, str],
    cwd: Path,
    stdin: BinaryIO | None = None,
    stdout: BinaryIO | None = None,
) -> Ran:
    """Run a command to its end; raises ``RuntimeError`` with what it said when it fails."""
    before, began = server_cpu(), time.monotonic()
    with subprocess.Popen(
        argv,
        env=dict(env),
        cwd=cwd,
        stdin=stdin or subprocess.DEVNULL,
        stdout=stdout or subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        watch = _Watch(process.pid)
        with watch:
            # Waited for by hand below: only wait4 tells what the process and its children used.
            out, err = _read(process)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - began
    if process.returncode != 0:
        raise RuntimeError(f"{list(argv)} ended with {process.returncode}\n{err.decode()}\n{out.decode()}")
    cpu = usage.ru_utime + usage.ru_stime
    return Ran(out.decode(), Sample(seconds, cpu, server_cpu() - before, watch.peak))


def _read(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    said: dict[str, bytes] = {"out": b""}

    def read_errors() -> None:
        said["err"] = process.stderr.read() if process.stderr else b""

    reader = threading.Thread(target=read_errors)
    reader.start()
    if process.stdout:
        said["out"] = process.stdout.read()
    reader.join()
    return said["out"], said["err"]


class _Watch:
    """Reads a process's peak memory while it runs; that of its children does not count."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.peak = 0

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            with suppress(OSError, StopIteration, ValueError):
                lines = self._status.read_text().splitlines()
                peak = next(line for line in lines if line.startswith("VmHWM"))
                self.peak = max(self.peak, int(peak.split()[1]) * 1024)
