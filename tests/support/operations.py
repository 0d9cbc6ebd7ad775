"""Operations in this process, as the tasks run them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from cn_ops.backup import backup
from cn_ops.errors import OpsError
from cn_ops.heal import heal
from cn_ops.model import BackupResult, RestoreResult
from cn_ops.names import Beside, beside_pattern
from cn_ops.restore import restore
from cn_ops.stack import Server
from tests.support.nodes import AnyNode

Tools = Callable[..., None]


def back_up(site: AnyNode, **options: Any) -> BackupResult:
    """Make a generation, as `inv backup` does."""
    with site.operation("backup") as operation:
        return backup(operation, **options)


def bring_back(site: AnyNode, dump: str | Path = "latest") -> RestoreResult:
    """Restore, as `inv restore` does on a disposable stack."""
    with site.operation("restore") as operation:
        return restore(operation, str(dump), site.folder, lambda _: None)


def beside_it(site: AnyNode, kind: Beside) -> tuple[str, ...]:
    """Return the databases of a kind that stand beside the live one, newest first."""
    pattern = beside_pattern(site.database, kind)
    names = sorted((name for (name,) in site.rows("SELECT datname::text FROM pg_database", "postgres")), reverse=True)
    return tuple(name for name in names if pattern.fullmatch(name))


def heal_it(site: AnyNode) -> bool:
    """Heal, as `inv heal` does."""
    with site.operation("heal") as operation:
        return heal(operation)


def tells_everything(error: OpsError) -> bool:
    """Whether an error says what failed, what everything is in now, and what to do."""
    return bool(error.message and error.state and error.hint)


def execute(server: Server, statement: str, *names: str) -> None:
    """Run a statement beside the databases of a server; ``{}`` are names."""
    with psycopg.connect(make_conninfo(**server.conninfo("postgres")), autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
