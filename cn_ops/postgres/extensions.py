"""Extensions: what a server can make of those that a dump needs, and in which version."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import psycopg
from psycopg import sql

from cn_ops.fingerprint import Extension

# Those of an empty database. The dump makes the others, and in them the extensions in the server's default version.
_SCHEMAS = ("pg_catalog", "public")


@dataclass(frozen=True)
class Offer:
    """The versions in which a server can make an extension; ``default`` is what a dump's CREATE EXTENSION makes."""

    default: str
    versions: tuple[str, ...]

    def has(self, wanted: Extension) -> bool:
        """Whether an empty database can be given this extension in its own version and schema."""
        return wanted.version in self.versions and wanted.schema in _SCHEMAS

    def version_for(self, wanted: Extension) -> str:
        """Return the version that a restored database will have."""
        return wanted.version if self.has(wanted) else self.default


def offers(connection: psycopg.Connection) -> dict[str, Offer]:
    """Return what the server offers, by the extension's name."""
    rows = connection.execute(
        "SELECT e.name::text, e.default_version, array_agg(v.version) FROM pg_available_extensions AS e"
        " JOIN pg_available_extension_versions AS v ON v.name = e.name GROUP BY 1, 2"
    ).fetchall()
    return {name: Offer(default, tuple(versions)) for name, default, versions in rows}


def make_older(connection: psycopg.Connection, wanted: Iterable[Extension]) -> None:
    """Make the extensions that a dump's CREATE EXTENSION IF NOT EXISTS would make in another version than theirs.

    Those that they need come first. What cannot be made so is left to the dump, and the comparison names it.
    """
    offered = offers(connection)
    todo = [one for one in wanted if one.name in offered and offered[one.name].has(one)]
    if all(one.version == offered[one.name].default for one in todo):
        return
    while made := [one for one in todo if _made(connection, one)]:
        todo = [one for one in todo if one not in made]


def _made(connection: psycopg.Connection, wanted: Extension) -> bool:
    """Make an extension in its version; return whether that could be done."""
    names = sql.Identifier(wanted.name), sql.Identifier(wanted.schema), sql.Literal(wanted.version)
    with suppress(psycopg.Error):
        connection.execute(sql.SQL("CREATE EXTENSION IF NOT EXISTS {} SCHEMA {} VERSION {}").format(*names))
        return True
    return False
