"""What is in a database: rows, sequences, large objects. Read within one snapshot, hashed inside the server.

Rows' hashes are added up, so that their order does not matter and a duplicate does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from cn_ops.fingerprint import LargeObjects, MaterializedView, SequenceState, TableContent
from cn_ops.postgres.row_hash import Column, check_byte_order, row_hash, second_hash

# Everything that a value's text depends on and the session does not already pin.
TEXT_SETTINGS = {"search_path": "", "lc_monetary": "C", "quote_all_identifiers": "off", "xmloption": "content"}
# Rows are read where they are, as a dump reads them, and not from an index that may say otherwise. Not for the
# catalog: without its indexes, what is joined there would take time by the square of the number of tables.
SCAN_SETTINGS = {
    "enable_seqscan": "on",
    "enable_indexscan": "off",
    "enable_indexonlyscan": "off",
    "enable_bitmapscan": "off",
    "enable_tidscan": "on",  # a part of a table reads its own blocks only
    # As many processes as there are sessions; and compiling costs more than it brings, once for each part.
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
}
LARGE_OBJECT_CHUNK = 64 * 1024 * 1024
MODULUS = 1 << 64

USER_SCHEMA = "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'"
# An enum's hash rests on the numbers of its labels, which are others in every cluster: pg_dump lets such rows find
# their partitions again. The topmost one counts.
_SHUFFLING = """
SELECT ARRAY[b.nspname::text, a.relname::text]
FROM pg_catalog.pg_partition_ancestors(c.oid) WITH ORDINALITY AS p (relid, place)
JOIN pg_catalog.pg_partitioned_table AS k ON k.partrelid = p.relid
JOIN pg_catalog.pg_class AS a ON a.oid = p.relid JOIN pg_catalog.pg_namespace AS b ON b.oid = a.relnamespace
WHERE k.partstrat = 'h' AND (
  SELECT o.oid FROM pg_catalog.pg_opclass AS o JOIN pg_catalog.pg_am AS m ON m.oid = o.opcmethod
  WHERE o.opcname = 'enum_ops' AND o.opcnamespace = 'pg_catalog'::regnamespace AND m.amname = 'hash'
) = ANY (k.partclass)
ORDER BY p.place DESC LIMIT 1
"""
_TABLES = f"""
SELECT n.nspname, c.relname, coalesce(x.condition, ''),
       coalesce((SELECT array_agg(ARRAY[a.attname::text, coalesce(p.proname, '')] ORDER BY a.attname)
                 FROM pg_catalog.pg_attribute AS a
                 LEFT JOIN pg_catalog.pg_type AS y ON y.oid = a.atttypid AND y.typtype IN ('b', 'r', 'm')
                   AND y.typnamespace = 'pg_catalog'::regnamespace
                   AND y.oid <> 'pg_catalog.refcursor'::regtype -- written as a text is, and it has no collation
                 LEFT JOIN pg_catalog.pg_proc AS p ON p.oid = y.typoutput AND p.pronamespace = y.typnamespace
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''), '{{}}'),
       pg_catalog.pg_relation_size(c.oid) / current_setting('block_size')::int,
       coalesce((SELECT a.amname = 'heap' FROM pg_catalog.pg_am AS a WHERE a.oid = c.relam), false),
       d.objid IS NOT NULL AND x.condition IS NULL,
       pg_catalog.pg_table_size(c.oid),
       CASE WHEN c.relispartition THEN ({_SHUFFLING}) END
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

# Columns say what the snapshot sees, functions what is there now. Rows are read, and locks taken, by name. The search
# path is empty, so that a table is shown with its schema.
_REPLACED = f"""
SELECT n.nspname, c.relname
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND {USER_SCHEMA}
  AND (c.relfilenode IS DISTINCT FROM pg_catalog.pg_relation_filenode(c.oid)
    OR c.oid::pg_catalog.regclass::text IS DISTINCT FROM pg_catalog.format('%I.%I', n.nspname, c.relname))
ORDER BY 1, 2 LIMIT 1
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


@dataclass(frozen=True, slots=True)
class Table:
    """A table: ``condition`` selects the rows that a dump holds, where an extension says which.

    ``blocks`` is its size without what is out of line, ``size_bytes`` with it; ``is_heap`` says that a range of
    blocks can be read by itself. ``shuffled_under`` is the partitioned table among whose partitions every restore
    deals out the rows anew, empty for none.
    """

    schema: str
    name: str
    condition: str
    columns: tuple[Column, ...]
    blocks: int
    is_heap: bool
    is_extension_own: bool
    size_bytes: int = 0
    shuffled_under: str = ""

    @property
    def counts_as(self) -> str:
        """The name under which its rows are counted."""
        return self.shuffled_under or _shown(self.schema, self.name)


@dataclass(frozen=True, slots=True)
class Blocks:
    """Some of a table's blocks: from ``first`` to before ``end``, which is null for the last of them."""

    first: int
    end: int | None


@dataclass(frozen=True, slots=True)
class Sums:
    """Rows and their hashes, added up: those of two parts of a table can be added up again."""

    rows: int
    first: int
    second: int

    def __add__(self, other: Sums) -> Sums:
        """Return the sums of both parts."""
        return Sums(self.rows + other.rows, self.first + other.first, self.second + other.second)


# What an extension repairs after a restore, because it holds the numbers of other objects.
NUMBERED_COLUMNS = {("ag_catalog", "ag_graph"): {"graphid"}, ("ag_catalog", "ag_label"): {"graph"}}


def pin_text(connection: psycopg.Connection) -> None:
    """Pin, for this transaction, what the text of values depends on.

    Raises ``OperationFailed`` on a server whose hashes are not those of others.
    """
    _set(connection, TEXT_SETTINGS)
    check_byte_order(connection)


@contextmanager
def scanning(connection: psycopg.Connection) -> Iterator[None]:
    """Read rows from the tables themselves, for the block; locks that it took are let go at its end.

    A table's indexes are locked with it, and the server's table of locks is not large.
    """
    with connection.transaction(force_rollback=True):
        _set(connection, SCAN_SETTINGS)
        yield


def _set(connection: psycopg.Connection, settings: Mapping[str, str]) -> None:
    for name, value in settings.items():
        connection.execute("SELECT set_config(%s, %s, true)", (name, value))


def replaced(connection: psycopg.Connection) -> str | None:
    """Return a table whose name leads to another file than the snapshot knows, or none.

    TRUNCATE and whatever rewrites a table make a new file, whose rows the snapshot does not see; so does another
    table under the old name.
    """
    row = connection.execute(_REPLACED.encode()).fetchone()
    return _shown(*row) if row else None


def tables(connection: psycopg.Connection) -> tuple[Table, ...]:
    """Return every table: partitions and heirs by themselves."""
    # Of many tables most are alike: partitions, and a schema for each tenant.
    alike: dict[tuple[Column, ...], tuple[Column, ...]] = {}

    def hashed(schema: str, name: str, columns: Sequence[tuple[str, str]]) -> tuple[Column, ...]:
        left_out = NUMBERED_COLUMNS.get((schema, name), ())
        found = tuple(Column(*one) for one in columns if one[0] not in left_out)
        return alike.setdefault(found, found)

    return tuple(
        Table(
            schema,
            name,
            condition,
            hashed(schema, name, columns),
            blocks,
            is_heap,
            is_own,
            size,
            _shown(*above) if above else "",
        )
        for schema, name, condition, columns, blocks, is_heap, is_own, size, above in connection.execute(
            _TABLES.encode()
        )
    )


def row_sums(connection: psycopg.Connection, table: Table, part: Blocks | None) -> Sums:
    """Count and hash a table's rows, or those in some of its blocks.

    Row-level security is an error here (``row_security`` is off) and never a silently smaller table.
    """
    row = table.name if table.condition else "t"  # a condition may call its table by its name
    query = sql.SQL(
        "SELECT count(*), sum(h), sum({}) FROM (SELECT {} AS h FROM ONLY {} AS {} {} OFFSET 0) AS one"
    ).format(
        second_hash(sql.SQL("h")),
        row_hash(table.columns, row),
        sql.Identifier(table.schema, table.name),
        sql.Identifier(row),
        # the extension's own words, from its catalog entry; such a table is never read in parts
        _within(part) if part else sql.SQL(table.condition),
    )
    rows, first, second = connection.execute(query).fetchone() or (0, None, None)
    return Sums(int(rows), int(first or 0), int(second or 0))


def content(name: str, tables: Sequence[Table], sums: Sums) -> TableContent:
    """Write down what the rows of a table, or of tables that count as one, add up to."""
    size = sum(one.size_bytes for one in tables)
    return TableContent(name, sums.rows, _hex((sums.first, sums.second)), tables[0].is_extension_own, size)


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


def _within(part: Blocks) -> sql.Composable:
    first = sql.SQL("WHERE t.ctid >= {}::tid").format(f"({part.first},0)")
    return first if part.end is None else first + sql.SQL(" AND t.ctid < {}::tid").format(f"({part.end},0)")


def _shown(schema: str, name: str) -> str:
    """Write `schema.name`, and what holds a dot in quotes: two tables must never have one name."""
    return ".".join('"' + part.replace('"', '""') + '"' if set(part) & set('."') else part for part in (schema, name))


def _hex(sums: Sequence[object]) -> str:
    """Write sums of 64-bit hashes as hex; none for no rows is zero."""
    return "".join(f"{int(str(one or 0)) % MODULUS:016x}" for one in sums)
