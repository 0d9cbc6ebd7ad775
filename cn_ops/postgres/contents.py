"""What is in a database: rows, sequences, large objects. Read within one snapshot, hashed inside the server.

A row is hashed by what a dump carries, which tells 1.0 from 1.00, -0 from 0, NULL from '' and one microsecond from
the next: by its values' texts, or by their binary forms where those say the same and cost less. Row hashes are added
up, so that the order does not matter and a duplicate does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from cn_ops.fingerprint import LargeObjects, MaterializedView, SequenceState, TableContent

# Everything that a value's text depends on and the session does not already pin.
TEXT_SETTINGS = {"search_path": "", "lc_monetary": "C", "quote_all_identifiers": "off", "xmloption": "content"}
# Rows are read where they are, as a dump reads them, and not from an index that may say otherwise.
SCAN_SETTINGS = {
    "enable_indexscan": "off",
    "enable_indexonlyscan": "off",
    "enable_bitmapscan": "off",
    "enable_tidscan": "on",  # a part of a table reads its own blocks only
}
LARGE_OBJECT_CHUNK = 64 * 1024 * 1024
MODULUS = 1 << 64
BINARY, TEXT = "records", "rows"

# Types, and arrays of them, whose binary form says what their text says, and neither more nor less. In that of others
# there are numbers of this database's own objects (enums, composites, `reg…`), or bits that no text tells and no
# dump brings back (those of a NaN).
BINARY_TYPES = (
    *("bit", "bool", "bpchar", "bytea", "char", "cidr", "date", "inet", "int2", "int4", "int8", "interval"),
    *("json", "jsonb", "macaddr", "macaddr8", "money", "name", "numeric", "oid", "text", "time", "timestamp"),
    *("timestamptz", "timetz", "uuid", "varbit", "varchar"),
)
USER_SCHEMA = "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'"
_TABLES = f"""
SELECT n.nspname, c.relname, coalesce(x.condition, ''),
       coalesce((SELECT array_agg(a.attname ORDER BY a.attnum) FROM pg_catalog.pg_attribute AS a
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''), '{{}}'),
       coalesce((SELECT array_agg(a.attname) FROM pg_catalog.pg_attribute AS a
                 JOIN pg_catalog.pg_type AS y ON y.oid = a.atttypid AND y.typnamespace = 'pg_catalog'::regnamespace
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
                 AND ltrim(y.typname, '_') IN ({", ".join(f"'{one}'" for one in BINARY_TYPES)})), '{{}}'),
       pg_catalog.pg_relation_size(c.oid) / current_setting('block_size')::int,
       coalesce((SELECT a.amname = 'heap' FROM pg_catalog.pg_am AS a WHERE a.oid = c.relam), false),
       d.objid IS NOT NULL AND x.condition IS NULL
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
     AND d.objsubid = 0 AND d.deptype = 'e'
LEFT JOIN LATERAL (
     SELECT e.extcondition[i] AS condition FROM pg_catalog.pg_extension AS e,
            pg_catalog.generate_subscripts(e.extconfig, 1) AS i
     WHERE e.oid = d.refobjid AND e.extconfig[i] = c.oid) AS x ON true
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND {USER_SCHEMA}
  AND (d.objid IS NULL OR x.condition IS NOT NULL OR pg_catalog.has_table_privilege(c.oid, 'SELECT'))
ORDER BY 1, 2
"""  # noqa: S608 - constants only

_MATERIALIZED_VIEWS = f"""
SELECT n.nspname, c.relname, c.relispopulated
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'm' AND {USER_SCHEMA} ORDER BY 1
"""  # noqa: S608 - constants only
_SEQUENCES = f"""
SELECT n.nspname, c.relname, s.seqincrement
FROM pg_catalog.pg_sequence AS s JOIN pg_catalog.pg_class AS c ON c.oid = s.seqrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relpersistence <> 't' AND {USER_SCHEMA} AND NOT EXISTS (
  SELECT FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid
  WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.objsubid = 0
  AND d.deptype = 'e' AND NOT c.oid = ANY (coalesce(e.extconfig, '{{}}')))
ORDER BY 1, 2
"""  # noqa: S608 - constants only
# Opening for reading is enough, and INV_READ (0x40000) obeys the transaction's snapshot. What is opened is closed:
# the server looks for a free descriptor one by one, and many open ones would take time by their square.
_LARGE_OBJECTS = """
SELECT count(*), sum(('x' || left(h, 16))::bit(64)::bigint), sum(('x' || right(h, 16))::bit(64)::bigint) FROM (
  SELECT md5(m.oid::text || ' ' || (
    SELECT string_agg(md5(lo_get(m.oid, i * %(chunk)s, %(chunk)s::int)), ' ' ORDER BY i)
    FROM generate_series(0, (
      SELECT CASE lo_close(open.fd) WHEN 0 THEN open.size END FROM (
        SELECT one.fd, lo_lseek64(one.fd, 0, 2) AS size
        FROM (SELECT lo_open(m.oid, 262144) AS fd OFFSET 0) AS one OFFSET 0) AS open) / %(chunk)s) AS i)) AS h
  FROM pg_catalog.pg_largeobject_metadata AS m OFFSET 0) AS one
"""
_LARGE_OBJECT_BLOCKS = """
SELECT pg_catalog.pg_relation_size('pg_catalog.pg_largeobject') / current_setting('block_size')::int
"""
# Comments are joined: obj_description() would read all of them for each object, since indexes are not to be used.
_LARGE_OBJECT_ATTRIBUTES = """
SELECT sum(('x' || left(h, 16))::bit(64)::bigint), sum(('x' || right(h, 16))::bit(64)::bigint) FROM (
  SELECT md5(ROW(m.oid, pg_get_userbyid(m.lomowner), d.description, (
    SELECT array_agg(ROW(CASE a.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(a.grantee) END, a.privilege_type,
                         a.is_grantable)::text ORDER BY 1)
    FROM aclexplode(coalesce(m.lomacl, acldefault('L', m.lomowner))) AS a))::text) AS h
  FROM pg_catalog.pg_largeobject_metadata AS m LEFT JOIN pg_catalog.pg_description AS d
    ON d.objoid = m.oid AND d.classoid = 'pg_catalog.pg_largeobject'::regclass AND d.objsubid = 0 OFFSET 0) AS one
"""


@dataclass(frozen=True)
class Table:
    """A table: ``condition`` selects the rows that a dump holds, where an extension says which.

    ``binary`` are the columns whose binary form is hashed, ``blocks`` is the size; ``is_heap`` says that a range of
    blocks can be read by itself.
    """

    schema: str
    name: str
    condition: str
    columns: tuple[str, ...]
    binary: frozenset[str]
    blocks: int
    is_heap: bool
    is_extension_own: bool


@dataclass(frozen=True)
class Blocks:
    """Some of a table's blocks: from ``first`` to before ``end``, which is null for the last of them."""

    first: int
    end: int | None


@dataclass(frozen=True)
class Sums:
    """Rows and their hashes, added up: those of two parts of a table can be added up again."""

    rows: int
    first: int
    second: int

    def __add__(self, other: Sums) -> Sums:
        """Return the sums of both parts."""
        return Sums(self.rows + other.rows, self.first + other.first, self.second + other.second)


TOO_WIDE = (psycopg.errors.ProgramLimitExceeded, psycopg.errors.OutOfMemory, psycopg.errors.InternalError_)


# What an extension repairs after a restore, because it holds the numbers of other objects.
NUMBERED_COLUMNS = {("ag_catalog", "ag_graph"): {"graphid"}, ("ag_catalog", "ag_label"): {"graph"}}


def pin_text(connection: psycopg.Connection) -> None:
    """Pin, for this transaction, what the text of values depends on, and where it is read."""
    for name, value in {**TEXT_SETTINGS, **SCAN_SETTINGS}.items():
        connection.execute("SELECT set_config(%s, %s, true)", (name, value))


def tables(connection: psycopg.Connection) -> tuple[Table, ...]:
    """Return every table: partitions and heirs by themselves."""
    rows = connection.execute(_TABLES.encode()).fetchall()
    return tuple(
        Table(
            schema,
            name,
            condition,
            tuple(one for one in columns if one not in NUMBERED_COLUMNS.get((schema, name), ())),
            frozenset(binary),
            blocks,
            is_heap,
            is_own,
        )
        for schema, name, condition, columns, binary, blocks, is_heap, is_own in rows
    )


def row_sums(connection: psycopg.Connection, table: Table, part: Blocks | None) -> Sums | None:
    """Count and hash a table's rows, or those in some of its blocks, row by row.

    Row-level security is an error here (``row_security`` is off) and never a silently smaller table. None when there
    is a row that would pass the server's limit of 1 GB: ``column_sums`` can hash that.
    """
    values: list[sql.Composable] = [sql.Identifier("t", name) for name in table.columns]
    written = sql.SQL("ROW({})::text")
    if row_method(connection) == BINARY:
        values = [_value(table, name) for name in table.columns]
        written = sql.SQL("record_send(ROW({}))")
    try:
        with connection.transaction():
            return _sums(connection, table, part, written, values)
    except TOO_WIDE:
        return None


def row_method(connection: psycopg.Connection) -> str:
    """Return how ``row_sums`` writes a row.

    Binary forms of texts are converted to UTF-8, which not every text of another encoding can be.
    """
    return BINARY if connection.info.parameter_status("server_encoding") == "UTF8" else TEXT


def _value(table: Table, name: str) -> sql.Composable:
    column = sql.Identifier("t", name)
    return column if name in table.binary else _output(sql.SQL("format('%s', {})").format(column), column)


def _output(written: sql.Composable, column: sql.Composable) -> sql.Composable:
    """Write a value, if it is not NULL; a composite value of NULLs `IS NULL`, and is another value than NULL."""
    return sql.SQL("CASE WHEN {} IS DISTINCT FROM NULL THEN {} END").format(column, written)


def column_sums(connection: psycopg.Connection, table: Table) -> Sums:
    """Count and hash a table's rows by the hashes of their columns' texts."""
    # format() takes a type's own output, as a dump does; a cast to text may be somebody's own function.
    columns = [sql.Identifier("t", name) for name in table.columns]
    values = [_output(sql.SQL("md5(format('%s', {}))").format(column), column) for column in columns]
    return _sums(connection, table, None, sql.SQL("ROW({})::text"), values)


def content(table: Table, sums: Sums, method: str) -> TableContent:
    """Write down what a table's rows add up to."""
    name = _shown(table.schema, table.name)
    return TableContent(name, sums.rows, _hex((sums.first, sums.second)), method, table.is_extension_own)


def materialized_views(connection: psycopg.Connection) -> tuple[MaterializedView, ...]:
    """Return which materialised views hold rows."""
    rows = connection.execute(_MATERIALIZED_VIEWS.encode()).fetchall()
    return tuple(sorted(MaterializedView(_shown(schema, name), populated) for schema, name, populated in rows))


def sequences(connection: psycopg.Connection, values: psycopg.Connection) -> tuple[SequenceState, ...]:
    """Return where every sequence of a snapshot stands now; no snapshot holds one still.

    They are read by a session that keeps no locks, ``values``: a lock held on to would make a dump wait behind
    whoever restarts one. Raises ``psycopg.errors.UndefinedTable`` for one that is gone.
    """
    found = []
    for schema, name, increment in connection.execute(_SEQUENCES.encode()).fetchall():
        row = values.execute(
            sql.SQL("SELECT last_value, is_called FROM {}").format(sql.Identifier(schema, name))
        ).fetchone()
        if row:
            value, is_called = row
            found.append(SequenceState(_shown(schema, name), value, is_called, increment, value, is_called))
    return tuple(found)


def large_object_blocks(connection: psycopg.Connection) -> int:
    """Return how many blocks all large objects have, those of other snapshots among them."""
    row = connection.execute(_LARGE_OBJECT_BLOCKS).fetchone()
    return int(row[0]) if row else 0


def large_objects(connection: psycopg.Connection) -> LargeObjects:
    """Count and hash all large objects."""
    row = connection.execute(_LARGE_OBJECTS, {"chunk": LARGE_OBJECT_CHUNK}).fetchone() or (0, None, None)
    attributes = connection.execute(_LARGE_OBJECT_ATTRIBUTES).fetchone() or (None, None)
    return LargeObjects(int(row[0]), _hex(row[1:]), _hex(attributes))


def _sums(
    connection: psycopg.Connection,
    table: Table,
    part: Blocks | None,
    written: sql.SQL,
    values: Sequence[sql.Composable],
) -> Sums:
    query = sql.SQL(
        "SELECT count(*), sum(('x' || left(h, 16))::bit(64)::bigint), sum(('x' || right(h, 16))::bit(64)::bigint)"
        " FROM (SELECT md5({}) AS h FROM ONLY {} AS t {} OFFSET 0) AS one"
    ).format(
        written.format(sql.SQL(", ").join(values)),
        sql.Identifier(table.schema, table.name),
        # the extension's own words, from its catalog entry; such a table is never read in parts
        _within(part) if part else sql.SQL(table.condition),
    )
    row = connection.execute(query).fetchone() or (0, None, None)
    return Sums(int(row[0]), int(row[1] or 0), int(row[2] or 0))


def _within(part: Blocks) -> sql.Composable:
    first = sql.SQL("WHERE t.ctid >= {}::tid").format(f"({part.first},0)")
    return first if part.end is None else first + sql.SQL(" AND t.ctid < {}::tid").format(f"({part.end},0)")


def _shown(schema: str, name: str) -> str:
    """Write `schema.name`, and what holds a dot in quotes: two tables must never have one name."""
    return ".".join('"' + part.replace('"', '""') + '"' if set(part) & set('."') else part for part in (schema, name))


def _hex(sums: Sequence[object]) -> str:
    """Write sums of 64-bit hashes as hex; none for no rows is zero."""
    return "".join(f"{int(str(one or 0)) % MODULUS:016x}" for one in sums)
