"""The kinds of damage that `inv drill --prove-detection` does."""

from __future__ import annotations

from cn_ops.postgres.controls import Control, Offer, changed, found, swapped

_TEXTS = "text, character varying"
_TIMES = "timestamp with time zone, timestamp without time zone"
_ANY = "text, jsonb, bytea, timestamp with time zone, bigint"
_FIRST = "(SELECT min(ctid) FROM ONLY %1$I.%2$I)"
_SEQUENCE = "c.relkind = 'S'"
_WHOLE_TABLE = "c.relkind = 'r' AND NOT c.relispartition"

_IN_USER_SCHEMA = (
    "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_toast'"
    " AND NOT EXISTS (SELECT FROM pg_depend AS e WHERE e.objid = c.oid AND e.deptype = 'e')"
)


def _relations(statement: str, condition: str) -> Offer:
    return found(
        f"SELECT format({statement}, n.nspname, c.relname) FROM pg_class AS c"
        f" JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE {_IN_USER_SCHEMA} AND {condition}"
        " ORDER BY c.reltuples DESC, 1"
    )


_TABLE = "c.relkind = 'r'"
_BY_ANOTHER_STEP = f"{_SEQUENCE} AND (SELECT s.seqincrement FROM pg_sequence AS s WHERE s.seqrelid = c.oid) <> 7"
_NOT_PUBLIC = (
    f"{_TABLE} AND NOT EXISTS (SELECT FROM aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS a"
    " WHERE a.grantee = 0 AND a.privilege_type = 'SELECT')"
)
_CONSTRAINTS = (
    "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', k.conrelid::regclass, k.conname) FROM pg_constraint AS k"
    " JOIN pg_class AS c ON c.oid = k.conrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    f" WHERE {_IN_USER_SCHEMA} AND NOT c.relispartition AND k.contype = "
)


def _attributes(statement: str, condition: str) -> Offer:
    return found(
        f"SELECT format('{statement}', a.attrelid::regclass, a.attname) FROM pg_attribute AS a"
        " JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        f" WHERE {_IN_USER_SCHEMA} AND c.relkind = 'r' AND a.attnum > 0 AND {condition} ORDER BY 1"
    )


CONTROLS: tuple[Control, ...] = (
    Control("one character of a text", changed(_TEXTS, "overlay({c} PLACING '~' FROM 1 FOR 1)", "{c} <> ''")),
    Control("a blank at the end of a text", changed(_TEXTS, "{c} || ' '")),
    Control("upper case for lower", changed(_TEXTS, "upper({c})")),
    Control("an empty text for NULL", changed(_TEXTS, "''", "{c} IS NULL")),
    Control("NULL for a value", changed(_ANY, "NULL", "{c} IS NOT NULL")),
    Control("one microsecond", changed(_TIMES, "{c} + interval '1 microsecond'")),
    Control(
        "an interval's day for 24 hours",
        changed("interval", "{c} - interval '1 day' + interval '24 hours'", "{c} IS NOT NULL"),
    ),
    Control("an integer by one", changed("bigint, integer, smallint", "{c} + 1")),
    Control("a numeric's last digit", changed("numeric", "{c} + 1")),
    Control("a float's sign of zero", changed("double precision, real", "'-0'", "{c} = 0")),
    Control("a float's last bit", changed("double precision", "{c} * (1 + 2.3e-16)", "{c} <> 0")),
    Control("one bit of bytes", changed("bytea", "set_bit({c}, 0, 1 - get_bit({c}, 0))", "length({c}) > 0")),
    Control("a boolean", changed("boolean", "NOT {c}")),
    Control("a key in a JSON object", changed("jsonb", """{c} || '{{"~": 1.0}}'""", "jsonb_typeof({c}) = 'object'")),
    Control("an element of a JSON array", changed("jsonb", "{c} || '[1.00]'", "jsonb_typeof({c}) = 'array'")),
    Control("an element of an array", changed("text[]", "array_append({c}, '~')")),
    Control("values swapped between two rows", swapped),
    Control("a row deleted", _relations("'DELETE FROM ONLY %1$I.%2$I WHERE ctid = " + _FIRST + "'", _TABLE)),
    Control("a row duplicated", _relations("'INSERT INTO %1$I.%2$I SELECT * FROM ONLY %1$I.%2$I LIMIT 1'", _TABLE)),
    Control(
        "a sequence one ahead",
        _relations("'SELECT setval(%1$L || ''.'' || %2$L, last_value + 1, is_called) FROM %1$I.%2$I'", _SEQUENCE),
    ),
    Control(
        "a sequence not called yet",
        _relations("'SELECT setval(%1$L || ''.'' || %2$L, last_value, NOT is_called) FROM %1$I.%2$I'", _SEQUENCE),
    ),
    Control("a sequence's step", _relations("'ALTER SEQUENCE %I.%I INCREMENT 7'", _BY_ANOTHER_STEP)),
    Control("an index dropped", _relations("'DROP INDEX %I.%I'", "c.relkind = 'i' AND NOT c.relispartition")),
    Control("a view dropped", _relations("'DROP VIEW %I.%I CASCADE'", "c.relkind = 'v'")),
    Control(
        "a materialised view emptied",
        _relations("'REFRESH MATERIALIZED VIEW %I.%I WITH NO DATA'", "c.relkind = 'm' AND c.relispopulated"),
    ),
    Control("a foreign key dropped", found(_CONSTRAINTS + "'f' ORDER BY 1")),
    Control("a check dropped", found(_CONSTRAINTS + "'c' ORDER BY 1")),
    Control("a primary key dropped", found(_CONSTRAINTS + "'p' ORDER BY 1")),
    Control(
        "a default dropped",
        _attributes("ALTER TABLE %s ALTER COLUMN %I DROP DEFAULT", "a.atthasdef AND a.attgenerated = ''"),
    ),
    Control(
        "a NOT NULL dropped",
        _attributes("ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL", "a.attnotnull AND a.attnum > 0"),
    ),
    Control("a column added", _relations("'ALTER TABLE %I.%I ADD COLUMN cn_ops_control int'", _WHOLE_TABLE)),
    Control(
        "a column widened",
        _attributes("ALTER TABLE %s ALTER COLUMN %I TYPE bigint", "a.atttypid = 'int4'::regtype AND a.attnum > 0"),
    ),
    Control(
        "a trigger disabled",
        found(
            "SELECT format('ALTER TABLE %s DISABLE TRIGGER %I', t.tgrelid::regclass, t.tgname) FROM pg_trigger AS t"
            " WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' ORDER BY 1"
        ),
    ),
    Control(
        "a trigger dropped",
        found(
            "SELECT format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass) FROM pg_trigger AS t"
            " WHERE NOT t.tgisinternal ORDER BY 1"
        ),
    ),
    Control(
        "a function's cost",
        found(
            "SELECT format('ALTER FUNCTION %s COST 77', c.oid::regprocedure) FROM pg_proc AS c"
            f" JOIN pg_namespace AS n ON n.oid = c.pronamespace WHERE {_IN_USER_SCHEMA} AND c.prokind = 'f'"
            " AND c.procost <> 77 ORDER BY 1"
        ),
    ),
    Control(
        "row-level security switched on",
        _relations("'ALTER TABLE %I.%I ENABLE ROW LEVEL SECURITY'", f"{_TABLE} AND NOT c.relrowsecurity"),
    ),
    Control("a comment changed", _relations("'COMMENT ON TABLE %I.%I IS ''cn-ops control'''", _TABLE)),
    Control("a privilege granted", _relations("'GRANT SELECT ON %I.%I TO PUBLIC'", _NOT_PUBLIC)),
    Control("a table's storage", _relations("'ALTER TABLE %I.%I SET (fillfactor = 71)'", _TABLE)),
    Control("a large object made", found("SELECT 'SELECT lo_from_bytea(0, ''cn-ops control'')'")),
    Control(
        "a large object's byte",
        found(
            "SELECT format('SELECT lo_put(%s, 0, %L)', oid, CASE lo_get(oid, 0, 1) WHEN 'C' THEN 'D' ELSE 'C' END)"
            " FROM pg_largeobject_metadata ORDER BY oid LIMIT 1"
        ),
    ),
    Control("a schema added", found("SELECT 'CREATE SCHEMA cn_ops_control'")),
    Control(
        "a setting of the database",
        found("SELECT format('ALTER DATABASE %I SET work_mem = ''7001kB''', current_database())"),
    ),
    Control("a table emptied", _relations("'TRUNCATE %I.%I CASCADE'", f"{_TABLE} AND c.reltuples > 0")),
    Control("a table dropped", _relations("'DROP TABLE %I.%I CASCADE'", _WHOLE_TABLE)),
    Control(
        "a schema dropped",
        found(
            "SELECT format('DROP SCHEMA %I CASCADE', n.nspname) FROM pg_namespace AS n"
            " WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'public') ORDER BY 1"
        ),
    ),
)
