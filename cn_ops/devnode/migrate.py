"""Bring a database to this node's schema: numbered SQL files, applied once, in order, all or none."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import psycopg

from cn_ops.errors import OperationFailed

logger = logging.getLogger(__name__)

FILE_NAME = re.compile(r"(?P<version>\d{4})_(?P<name>[a-z0-9_]+)\.sql")
# One number for all nodes of a database: whoever holds it migrates, the others wait.
LOCK_KEY = 0x636E6D69  # "cnmi"


@dataclass(frozen=True)
class Migration:
    """One SQL file."""

    version: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """The checksum that is recorded when the file is applied."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def packaged() -> tuple[Migration, ...]:
    """Return the migrations that come with this package, in order."""
    folder = files("cn_ops.devnode") / "migrations"
    found = [
        Migration(int(match["version"]), match["name"], file.read_text(encoding="utf-8"))
        for file in folder.iterdir()
        if (match := FILE_NAME.fullmatch(file.name))
    ]
    return tuple(sorted(found, key=lambda migration: migration.version))


def pending(migrations: Sequence[Migration], applied: Mapping[int, str]) -> tuple[Migration, ...]:
    """Return what is still to apply; ``applied`` maps a version to the checksum on record.

    Raises ``OperationFailed`` when an applied file has changed, or when the database is ahead of this node.
    """
    known = {migration.version for migration in migrations}
    if unknown := sorted(set(applied) - known):
        raise OperationFailed(
            f"the database has migration {unknown[0]:04d}, which this node does not know",
            hint="a newer node migrated it: run that one",
        )
    for migration in migrations:
        if applied.get(migration.version, migration.sha256) != migration.sha256:
            raise OperationFailed(
                f"migration {migration.version:04d}_{migration.name} was changed after it had been applied",
                hint="restore the file and put the change into a new one",
            )
    return tuple(migration for migration in migrations if migration.version not in applied)


def migrate(connection: psycopg.Connection, migrations: Sequence[Migration] | None = None) -> int:
    """Apply what is missing, within the connection's transaction; return how many files that were."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK_KEY,))
    todo = pending(packaged() if migrations is None else migrations, _applied(connection))
    for migration in todo:
        connection.execute(migration.sql.encode())
        connection.execute(
            "INSERT INTO cn_admin.schema_migrations (version, name, sha256) VALUES (%s, %s, %s)",
            (migration.version, migration.name, migration.sha256),
        )
        logger.info("applied migration %04d_%s", migration.version, migration.name)
    return len(todo)


def _applied(connection: psycopg.Connection) -> dict[int, str]:
    row = connection.execute("SELECT to_regclass('cn_admin.schema_migrations') IS NOT NULL").fetchone()
    if row is None or not row[0]:
        connection.execute("CREATE SCHEMA IF NOT EXISTS cn_admin")
        connection.execute(
            "CREATE TABLE cn_admin.schema_migrations (version integer PRIMARY KEY, name text NOT NULL,"
            " sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        return {}
    found = connection.execute("SELECT version, sha256 FROM cn_admin.schema_migrations").fetchall()
    return dict(found)
