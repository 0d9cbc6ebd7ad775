"""Look at everything that a backup, a restore and a drill need, before one of them does: nothing is changed."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import cn_ops.postgres.database as db
from cn_ops.errors import OpsError
from cn_ops.files import explained, private_folder, require_writable
from cn_ops.generations import read_catalogue
from cn_ops.journal import Journal
from cn_ops.model import Finding, Level, PresetTime
from cn_ops.operation import journal_path
from cn_ops.phases import Phases
from cn_ops.postgres import rights
from cn_ops.postgres.dump import PRESETS, dump_database, plan_dump, tool_version
from cn_ops.postgres.session import maintenance_database, session
from cn_ops.postgres.snapshot import snapshot
from cn_ops.postgres.tools import check_tools
from cn_ops.replacement import check_scripts
from cn_ops.retention import fallen
from cn_ops.settings import BackupSettings, RestoreSettings, Settings
from cn_ops.stack import Choice
from cn_ops.text import readable_age, readable_bytes

# A preset that is not at least so much faster than a simpler one is not worth what it asks for.
WORTHWHILE = 0.9


def examine(settings: Settings, choice: Choice) -> Iterator[Finding]:
    """Look at one thing after the other; what rests on something that is missing is not looked at."""
    yield Finding("stack", Level.OK, choice.reason)
    yield _looked("drills", lambda: _drills(choice))
    yield _looked("backup folder", lambda: _folder(settings.backup.directory))
    yield _looked("generations", lambda: _generations(settings.backup, settings.stack.postgres.database))
    yield _looked("unfinished work", lambda: _unfinished(settings, choice))
    yield _looked("restore.after", lambda: _scripts(settings.restore))
    try:
        choice.stack.preflight()
        running = choice.stack.running()
    except OpsError as error:
        yield _problem("services", error)
        return
    yield Finding("services", Level.OK, f"running: {', '.join(running) or 'none'}")
    if settings.stack.postgres.service not in running:
        yield _not_running(settings, choice)
        return
    server = _looked("server", lambda: _server(settings, choice))
    yield server
    if server.level is Level.PROBLEM:
        return
    yield _looked("client tools", lambda: _tools(choice))
    yield _looked("counted table", lambda: _counted(settings, choice))
    yield _looked("role", lambda: _role(settings, choice))
    yield _looked("room", lambda: _room(settings, choice))


def measure(settings: Settings, choice: Choice, phases: Phases) -> tuple[PresetTime, ...]:
    """Dump the live database with each preset, into files that are removed at once."""
    folder = settings.backup.directory
    database = settings.stack.postgres.database
    found = []
    for preset in PRESETS:
        plan = plan_dump(choice.stack, BackupSettings(preset=preset))
        with phases.phase(f"measure {preset}") as step, _thrown_away(folder) as path, path.open("wb") as target:
            began = time.monotonic()
            with snapshot(choice.stack, database) as view:
                _, size = dump_database(choice.stack, database, plan, view, target, step.advanced_bytes)
            took = time.monotonic() - began
            step.detail = f"{readable_bytes(size)}, {' '.join(plan.flags)}"
        found.append(PresetTime(preset, plan.flags, round(took, 3), size))
    return tuple(found)


def recommended(measured: Sequence[PresetTime]) -> str:
    """Return the simplest preset that hardly another one beats; they come in the order of what they ask for."""
    best, *others = measured
    for one in others:
        if one.seconds < best.seconds * WORTHWHILE:
            best = one
    return best.preset


def _looked(subject: str, look: Callable[[], tuple[Level, str, str]]) -> Finding:
    try:
        return Finding(subject, *look())
    except OpsError as error:
        return _problem(subject, error)


def _problem(subject: str, error: OpsError) -> Finding:
    return Finding(subject, Level.PROBLEM, error.message, error.hint)


def _drills(choice: Choice) -> tuple[Level, str, str]:
    if choice.disposable:
        return Level.OK, "this stack is disposable: a drill may destroy its data", ""
    hint = "`inv verify` rehearses in a server of its own; `stack.disposable: true` allows drills"
    return Level.NOTE, "this stack is not disposable: `inv drill` refuses it", hint


def _folder(folder: Path) -> tuple[Level, str, str]:
    there = require_writable(folder, "backup.directory")
    return Level.OK, f"{folder}, {readable_bytes(shutil.disk_usage(there).free)} free", ""


def _generations(settings: BackupSettings, database: str) -> tuple[Level, str, str]:
    catalogue = read_catalogue(settings.directory, settings.prefix)
    if catalogue.passed_over:
        damaged = ", ".join(one.id for one in catalogue.passed_over)
        left = f"{len(catalogue.complete)} older ones are complete"
        return Level.PROBLEM, f"damaged: {damaged}; {left}", "`inv backups` says how; make a new one: `inv backup`"
    if not catalogue.complete:
        return Level.NOTE, "there is none", "make one: `inv backup`"
    newest = catalogue.complete[0]
    detail = f"{len(catalogue.complete)}, the newest {newest.id}"
    if newest.manifest:
        detail += f" ({readable_age(datetime.now(UTC) - datetime.fromisoformat(newest.manifest.started_at))} old)"
    if fall := fallen(catalogue.of(database, None), settings.suspicious_share):
        return (
            Level.NOTE,
            f"{detail}; {fall}",
            "was something lost before it was backed up? `inv prune` keeps the older",
        )
    if not catalogue.proven:
        return Level.NOTE, f"{detail}; none is proven", "prove the newest: `inv verify`"
    return Level.OK, f"{detail}; the newest proven one is {catalogue.proven[0].id}", ""


def _unfinished(settings: Settings, choice: Choice) -> tuple[Level, str, str]:
    left = Journal(journal_path(settings, choice.stack)).read()
    if left and not left.empty:
        return Level.PROBLEM, f"`{left.operation}` (process {left.pid}) is under way, or was killed", "see `inv heal`"
    return Level.OK, "none", ""


def _not_running(settings: Settings, choice: Choice) -> Finding:
    detail = f"{settings.stack.postgres.service} does not run: nothing of it was looked at"
    if choice.disposable:
        return Finding("server", Level.NOTE, detail, "a drill starts it, and so does `inv stack.up`")
    return Finding("server", Level.PROBLEM, detail, "start it: `inv stack.up`")


def _server(settings: Settings, choice: Choice) -> tuple[Level, str, str]:
    database = settings.stack.postgres.database
    with session(choice.stack, maintenance_database(database)) as connection:
        version = db.server_version(connection)
        if not db.exists(connection, database):
            hint = "is its name right? `inv restore` brings a lost one back"
            return Level.PROBLEM, f"PostgreSQL {version}, without a database {database!r}", hint
        size = readable_bytes(db.size_bytes(connection, database))
        if prepared := rights.prepared_transactions(connection, database):
            return (
                Level.NOTE,
                f"prepared transactions in {database!r}: {', '.join(prepared)}",
                "a restore refuses them",
            )
    return Level.OK, f"PostgreSQL {version}, {database!r} has {size}", ""


def _tools(choice: Choice) -> tuple[Level, str, str]:
    check_tools(choice.stack, restoring=True)
    fast = plan_dump(choice.stack, BackupSettings(preset="fast")).compress
    detail = f"pg_dump {tool_version(choice.stack)}; the preset `fast` dumps with --compress={fast}"
    return Level.OK, detail, ""


def _counted(settings: Settings, choice: Choice) -> tuple[Level, str, str]:
    with session(choice.stack, settings.stack.postgres.database) as connection:
        db.is_plain_table(connection, settings.drill.count_table)  # to count a large one would take its time
    return Level.OK, f"{settings.drill.count_table} is there", ""


def _scripts(settings: RestoreSettings) -> tuple[Level, str, str]:
    check_scripts(settings)
    return Level.OK, ", ".join(one.name for one in settings.after) or "no file", ""


def _role(settings: Settings, choice: Choice) -> tuple[Level, str, str]:
    database = settings.stack.postgres.database
    with session(choice.stack, maintenance_database(database)) as connection:
        role = connection.info.user
        rights.require_may_create(connection)
        if db.exists(connection, database):
            rights.require_may_make_for(connection, db.properties(connection, database).owner)
        lacking = [
            *([] if rights.may_read_passwords(connection) else ["read the roles' passwords"]),
            *(f"end the sessions of {one}" for one in rights.out_of_reach(connection, database)),
        ]
    if lacking:
        return (
            Level.NOTE,
            f"{role!r} may not {'; nor '.join(lacking)}",
            "docs/how-to/managed-server.md says what follows",
        )
    return Level.OK, f"{role!r} may do all that is needed", ""


def _room(settings: Settings, choice: Choice) -> tuple[Level, str, str]:
    database = settings.stack.postgres.database
    with session(choice.stack, maintenance_database(database)) as connection:
        size = db.size_bytes(connection, database)
    free = choice.stack.free_bytes()
    if free is None:
        return Level.NOTE, "how much the server has free is not known", f"a restore needs {readable_bytes(size)}"
    if free < size:
        hint = f"free some, or restore with --strategy=recreate: beside the live one it needs {readable_bytes(size)}"
        return Level.PROBLEM, f"the server has {readable_bytes(free)} free", hint
    return Level.OK, f"the server has {readable_bytes(free)} free; a restore beside needs {readable_bytes(size)}", ""


@contextmanager
def _thrown_away(folder: Path) -> Iterator[Path]:
    """Give a file where dumps are kept: how fast that disk is counts too."""
    try:
        private_folder(folder)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".measure.", suffix=".partial") as aside:
            yield Path(aside.name)
    except OSError as error:
        raise explained(error, folder, "write into") from error
