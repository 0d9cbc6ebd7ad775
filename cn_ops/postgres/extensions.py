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

    def version_for(self, wanted: Extension) -> str:
        """Return the version that a restored database will have."""
        has_it = wanted.version in self.versions and wanted.schema in _SCHEMAS
        return wanted.version if has_it else self.default


def offers(connection: psycopg.Connection) -> dict[str, Offer]:
    """Return what the server offers, by the extension's name."""
    rows = connection.execute(
        "SELECT e.name::text, e.default_version, array_agg(v.version) FROM pg_available_extensions AS e"
        " JOIN pg_available_extension_versions AS v ON v.name = e.name GROUP BY 1, 2"
    ).fetchall()
    return {name: Offer(default, tuple(versions)) for name, default, versions in rows}


def make_older(connection: psycopg.Connection, wanted: Iterable[Extension]) -> None:
    """Make the extensions that a dump's CREATE EXTENSION IF NOT EXISTS would make in another version than theirs.

    One that cannot be made so, such as one that needs another first, is left to the dump: the comparison names it.
    """
    offered = offers(connection)
    for one in wanted:
        offer = offered.get(one.name)
        if offer and one.version != offer.default and one.version == offer.version_for(one):
            statement = sql.SQL("CREATE EXTENSION IF NOT EXISTS {} SCHEMA {} VERSION {}")
            with suppress(psycopg.Error):
                connection.execute(
                    statement.format(sql.Identifier(one.name), sql.Identifier(one.schema), sql.Literal(one.version))
                )
