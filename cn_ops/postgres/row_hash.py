"""One 64-bit hash of a row, as an SQL expression: of every value's text, exactly, and of its place in the row.

A value is hashed with the hash of those before it as the seed, so that no values can change places. The text is the
one that a dump carries: it tells 1.0 from 1.00, -0 from 0, NULL from '' and one microsecond from the next. The hash
is ``hashtextextended``, which hash partitions and indexes rest on: the same in every major version since 11, several
times as fast as MD5 of a row, and no protection against somebody who looks for two texts with one hash. It reads
words as the processor does, hence ``check_byte_order``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from cn_ops.errors import OperationFailed

# An expression that is nested much deeper passes the server's limit of its stack (tables have up to 1,600 columns).
MOST_NESTED = 50
# What every little-endian server says; odd in length, so that whole words and single bytes are read.
SAMPLE, SAMPLE_HASH = "in which order are the bytes of a word?", 6897077230224041751
_HASH = sql.SQL('hashtextextended({} COLLATE pg_catalog."C", {})')


@dataclass(frozen=True, slots=True)
class Column:
    """A column; ``output`` is the function that writes a base type of the server's own, or empty for other types."""

    name: str
    output: str


def row_hash(columns: Sequence[Column], row: str) -> sql.Composable:
    """Return the hash of a row, given what the row is called in the query."""
    return _chained([_text(one, sql.Identifier(row, one.name)) for one in columns])


def second_hash(first: sql.Composable) -> sql.Composable:
    """Return another hash of a row, from its first: two sums cannot come out right by chance as one might."""
    return _HASH.format("", first)


def check_byte_order(connection: psycopg.Connection) -> None:
    """Raise ``OperationFailed`` on a server whose hashes are none that another server would find."""
    row = connection.execute(sql.SQL("SELECT {}").format(_HASH.format(SAMPLE, sql.SQL("0")))).fetchone()
    if row != (SAMPLE_HASH,):
        raise OperationFailed(
            "this server hashes texts otherwise than other servers do, so no other server could prove its dumps",
            hint="servers on big-endian processors (s390x) are not supported",
        )


@dataclass(frozen=True)
class _Text:
    """A value's text, any text for NULL, and the value, which tells NULL apart; null where it cannot be NULL."""

    text: sql.Composable
    value: sql.Composable | None


def _text(column: Column, value: sql.Composable) -> _Text:
    # What a type's own output says, as a dump does: a cast to text may be somebody's own function.
    if column.output in ("textout", "varcharout"):
        written = sql.SQL("coalesce({}, '')").format(value)
    elif column.output:  # format() would look for it again for each value, and copy what it says
        written = sql.SQL("coalesce(textin({}({})), '')").format(sql.Identifier(column.output), value)
    else:
        written = sql.SQL("format('%s', {})").format(value)
    return _Text(written, value)


def _chained(values: Sequence[_Text]) -> sql.Composable:
    if len(values) > MOST_NESTED:
        groups = [_chained(values[first : first + MOST_NESTED]) for first in range(0, len(values), MOST_NESTED)]
        return _chained([_Text(sql.SQL("textin(int8out({}))").format(one), None) for one in groups])
    chained: sql.Composable = sql.SQL("0::bigint")
    for one in values:
        chained = _HASH.format(one.text, _seed(chained, one.value))
    return chained


def _seed(before: sql.Composable, value: sql.Composable | None) -> sql.Composable:
    """Return the seed of a value's hash. A composite value of NULLs `IS NULL`, and is another value than NULL."""
    if value is None:
        return before
    return sql.SQL("{} # CASE WHEN {} IS DISTINCT FROM NULL THEN 0::bigint ELSE 1::bigint END").format(before, value)
