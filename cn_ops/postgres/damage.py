"""Damage done on purpose: what happens to real databases."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

from cn_ops.errors import OperationFailed
from cn_ops.postgres.session import qualified

_COLUMNS = """
SELECT a.attname, format_type(a.atttypid, NULL), coalesce(p.attnum IS NOT NULL, false)
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (SELECT a.attnum FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary
                   AND a.attnum = ANY (i.indkey)) AS p ON true
WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY a.attnum
"""
# A key that no row has yet, by the type of the key's column.
_NEW_KEYS = {
    "text": "gen_random_uuid()::text || gen_random_uuid()::text",
    "character varying": "gen_random_uuid()::text",
    "uuid": "gen_random_uuid()",
    "bigint": "(SELECT coalesce(max({key}), 0) FROM {table}) + row_number() OVER ()",
    "integer": "(SELECT coalesce(max({key}), 0) FROM {table}) + row_number() OVER ()",
}


def truncate(connection: psycopg.Connection, tables: Sequence[str]) -> None:
    """Empty tables, and whatever refers to them."""
    connection.execute(sql.SQL("TRUNCATE {} CASCADE").format(sql.SQL(", ").join(map(qualified, tables))))


def drop_table(connection: psycopg.Connection, table: str) -> None:
    """Drop a table and whatever depends on it."""
    connection.execute(sql.SQL("DROP TABLE {} CASCADE").format(qualified(table)))


def drop_schema(connection: psycopg.Connection, schema: str) -> None:
    """Drop a schema with everything in it."""
    connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))


def change_rows(connection: psycopg.Connection, table: str) -> str:
    """Change one character in every row of a text column; return the column. As many rows are there afterwards."""
    column = _column(connection, table, ("text", "character varying"))
    connection.execute(
        sql.SQL("UPDATE {} SET {c} = overlay({c} PLACING '~' FROM 1 FOR 1)").format(
            qualified(table), c=sql.Identifier(column)
        )
    )
    return column


def migrate_badly(connection: psycopg.Connection, table: str) -> str:
    """Drop a column, and bring it back empty, as a migration does that forgot the data; return the column."""
    column = _column(connection, table, ("text", "character varying", "jsonb"))
    name = sql.Identifier(column)
    connection.execute(sql.SQL("ALTER TABLE {} DROP COLUMN {} CASCADE").format(qualified(table), name))
    connection.execute(
        sql.SQL("ALTER TABLE {} ADD COLUMN {} text NOT NULL DEFAULT ''").format(qualified(table), name)
    )
    return column


def write_rows(connection: psycopg.Connection, table: str, count: int) -> int:
    """Write copies of rows under new keys, as a writer that goes on; return how many."""
    columns = _columns(connection, table)
    keys = [(name, kind) for name, kind, is_key in columns if is_key]
    if len(keys) != 1 or keys[0][1] not in _NEW_KEYS:
        raise OperationFailed(f"no row can be written to {table}: its key is not one column of text, uuid or integer")
    key, kind = keys[0]
    new_key = sql.SQL(_NEW_KEYS[kind]).format(key=sql.Identifier(key), table=qualified(table))
    names = sql.SQL(", ").join(sql.Identifier(name) for name, _, _ in columns)
    values = sql.SQL(", ").join(new_key if name == key else sql.Identifier(name) for name, _, _ in columns)
    return connection.execute(
        sql.SQL("INSERT INTO {t} ({names}) SELECT {values} FROM {t} LIMIT {count} ON CONFLICT DO NOTHING").format(
            t=qualified(table), names=names, values=values, count=sql.Literal(count)
        )
    ).rowcount


def _column(connection: psycopg.Connection, table: str, types: Sequence[str]) -> str:
    for name, kind, is_key in _columns(connection, table):
        if kind in types and not is_key:
            return name
    raise OperationFailed(f"{table} has no column of type {' or '.join(types)} beside its key")


def _columns(connection: psycopg.Connection, table: str) -> list[tuple[str, str, bool]]:
    schema, _, name = table.partition(".")
    return connection.execute(_COLUMNS, (schema, name)).fetchall()
