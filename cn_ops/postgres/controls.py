"""Negative controls: damage that a comparison must notice, found for whatever database it is done to.

Each control offers statements, the most telling first; the first one that really changes something is the damage.
What a database has no object for is not tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import psycopg
from psycopg import sql

CANDIDATES = 40  # how many places a control may look at

Statements = Iterator[sql.Composed]
Offer = Callable[[psycopg.Connection], Statements]

_COLUMNS = """
SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity = ''
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_toast'
  AND format_type(a.atttypid, NULL) = ANY (%s)
ORDER BY EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND a.attnum = ANY (i.indkey)),
         c.reltuples DESC, 1, 2, 3
"""


@dataclass(frozen=True)
class Column:
    """A column that a control may change."""

    table: sql.Identifier
    name: sql.Identifier
    type: sql.SQL
    nullable: bool


@dataclass(frozen=True)
class Control:
    """Damage of one kind."""

    name: str
    statements: Offer


def damage(connection: psycopg.Connection, control: Control) -> bool:
    """Do the damage; return whether there was anything to damage."""
    for number, statement in enumerate(control.statements(connection)):
        if number >= CANDIDATES:
            break
        # A constraint may forbid it here and not in the next place.
        with suppress(psycopg.Error), connection.transaction():
            if connection.execute(statement).rowcount != 0:
                return True
    return False


def changed(types: str, expression: str, condition: str = "true") -> Offer:
    """Offer to change one value; ``{c}`` in the expression and the condition is the column."""

    def statements(connection: psycopg.Connection) -> Statements:
        for column in _columns(connection, types.split(", ")):
            new, where = (sql.SQL(text).format(c=column.name) for text in (expression, condition))
            yield sql.SQL(
                "UPDATE ONLY {t} SET {c} = {new} WHERE ctid = (SELECT ctid FROM ONLY {t} WHERE {where}"
                " AND (({new})::{type})::text IS DISTINCT FROM {c}::text ORDER BY ctid LIMIT 1)"
            ).format(t=column.table, c=column.name, new=new, where=where, type=column.type)

    return statements


def swapped(connection: psycopg.Connection) -> Statements:
    """Exchange one column's values between two rows: every column still holds the same values."""
    for column in _columns(connection, ["text", "bigint", "integer", "timestamp with time zone", "jsonb"]):
        yield sql.SQL(
            "WITH pair AS (SELECT a.ctid AS one, b.ctid AS two, a.{c} AS first, b.{c} AS second FROM ONLY {t} AS a"
            " JOIN ONLY {t} AS b ON a.ctid < b.ctid AND a.{c} IS DISTINCT FROM b.{c} LIMIT 1)"
            " UPDATE ONLY {t} AS t SET {c} = CASE t.ctid WHEN pair.one THEN pair.second ELSE pair.first END"
            " FROM pair WHERE t.ctid IN (pair.one, pair.two)"
        ).format(t=column.table, c=column.name)


def found(query: str) -> Offer:
    """Offer the statements that a query of the catalogue returns."""

    def statements(connection: psycopg.Connection) -> Statements:
        for (statement,) in connection.execute(query.encode()).fetchall():
            yield sql.SQL("{}").format(sql.SQL(statement))

    return statements


def _columns(connection: psycopg.Connection, types: list[str]) -> Iterator[Column]:
    for schema, table, name, kind, not_null in connection.execute(_COLUMNS, (types,)).fetchall():
        yield Column(sql.Identifier(schema, table), sql.Identifier(name), sql.SQL(kind), not not_null)
