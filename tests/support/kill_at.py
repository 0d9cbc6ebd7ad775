"""Run a task, and kill it with SIGKILL just before or just after one of its calls.

`python kill_at.py MODULE:FUNCTION NUMBER before|after TASK…`, in a project's folder.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import Any

from invoke.main import program


def kill_at(target: str, number: int, moment: str) -> None:
    """Put the kill around the call of that number."""
    module, _, path = target.partition(":")
    *above, name = path.split(".")
    holder: Any = importlib.import_module(module)
    for one in above:
        holder = getattr(holder, one)
    original = getattr(holder, name)
    calls = 0

    def killing(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        is_it = calls == number
        if is_it and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*arguments, **options)
        if is_it:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(holder, name, killing)


if __name__ == "__main__":
    kill_at(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    sys.argv = ["inv", *sys.argv[4:]]
    program.run()
