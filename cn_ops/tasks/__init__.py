"""The Invoke tasks: parse options, call an operation, show its result, map errors to exit codes.

Another project's `tasks.py` takes them as they are: ``from cn_ops.tasks import namespace; ns = namespace()``.
Only Invoke is imported here: `inv --list` must not pay for what a task needs when it runs.
"""

from __future__ import annotations

import os
import sys
from copy import deepcopy

from invoke.collection import Collection

from cn_ops.tasks import backup, config, doctor, drill, restore, stack, verify


def namespace() -> Collection:
    """Return a new collection with every task."""
    # Invoke keeps Python from writing compiled files beside a tasks.py. Of a package that would have every command
    # compile all of it again, which takes longer than many a command itself.
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    # Of its own: Invoke takes the help out of a task when it first reads its arguments.
    tasks = Collection()
    for one in (
        drill.drill,
        backup.backup,
        backup.backups,
        backup.prune,
        restore.restore,
        restore.heal,
        verify.verify,
        verify.compare,
        config.config,
        doctor.doctor,
    ):
        tasks.add_task(deepcopy(one))
    services = Collection("stack")
    for one in (stack.up, stack.down, stack.status, stack.seed, stack.logs):
        services.add_task(deepcopy(one))
    tasks.add_collection(services)
    return tasks
