"""What a damage is, and what there is to damage.

Each has a schema of its own, in which ``before`` runs when the database is made, and ``after`` in a restored copy.
`{s}` is the schema's name; `@owner@`, `@reader@` and `@group@` are roles.
"""

from __future__ import annotations

from dataclasses import dataclass

T = "CREATE TABLE t (id int, v text);"
ROWS = T + "INSERT INTO t SELECT n, 'row ' || n FROM generate_series(1, 5) AS n;"
PARENT = "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE t (id int CONSTRAINT fk REFERENCES p, v text);"
FUNCTION = (
    "CREATE FUNCTION f(n int DEFAULT 1) RETURNS int LANGUAGE sql IMMUTABLE STRICT SECURITY DEFINER AS 'SELECT n';"
)
TRIGGER = (
    T + "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
    "CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
    "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW WHEN (NEW.id > 0) EXECUTE FUNCTION f('x');"
)
RANGES = (
    "CREATE TABLE t (id int, v text) PARTITION BY RANGE (id);"
    "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10);"
    "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (20); INSERT INTO t VALUES (1, 'a'), (11, 'b');"
)
POLICY = T + "ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY po ON t FOR SELECT TO @reader@ USING (id > 0);"
FOREIGN = "CREATE FOREIGN DATA WRAPPER w_{s}; CREATE SERVER s_{s} FOREIGN DATA WRAPPER w_{s} OPTIONS (host 'x');"
PUBLICATION = T + "CREATE PUBLICATION p_{s} FOR TABLE t (id) WHERE (id > 0);"
SUBSCRIPTION = (
    "CREATE SUBSCRIPTION s_{s} CONNECTION 'host=127.0.0.1 port=1 password=one' PUBLICATION p"
    " WITH (connect = false, slot_name = NONE);"
)
PAIR = "CREATE TYPE pair AS (a text, b int);"
ENUM = "CREATE TYPE mood AS ENUM ('sad', 'ok');"


@dataclass(frozen=True)
class Damage:
    """What was, and what is done to it; ``since`` is the first major version that has such a thing."""

    title: str
    before: str
    after: str
    since: int = 0


def value(title: str, kind: str, was: str, now: str, *, more: str = "") -> Damage:
    """Return one value that becomes another."""
    before = f"{more} CREATE TABLE t (v {kind}); INSERT INTO t VALUES ({was});"
    return Damage(f"{kind}: {title}", before, f"UPDATE t SET v = {now};")
