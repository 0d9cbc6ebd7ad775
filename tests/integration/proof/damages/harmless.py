"""What a restored database may do and still be equal."""

from __future__ import annotations

from tests.integration.proof.damages.base import ROWS, Damage, T

# What a restored database may do and still be equal.
HARMLESS = (
    Damage("rows in another order", ROWS, "CREATE TABLE u AS TABLE t; TRUNCATE t; INSERT INTO t SELECT * FROM u ORDER BY id DESC; DROP TABLE u;"),
    Damage("values written again", ROWS, "UPDATE t SET v = v;"),
    Damage("a row written and deleted", ROWS, "INSERT INTO t VALUES (9, 'x'); DELETE FROM t WHERE id = 9;"),
    Damage("a table written anew", ROWS + "CREATE INDEX i ON t (id);", "CLUSTER t USING i; ALTER TABLE t SET WITHOUT CLUSTER;"),
    Damage("an index made anew", ROWS + "CREATE INDEX i ON t (id);", "REINDEX INDEX i;"),
    Damage("statistics of the planner", ROWS, "ANALYZE t;"),
    Damage("a materialised view refreshed", ROWS + "CREATE MATERIALIZED VIEW m AS SELECT id FROM t;", "REFRESH MATERIALIZED VIEW m;"),
    Damage("a privilege granted again", T + "GRANT SELECT ON t TO @reader@;", "REVOKE SELECT ON t FROM @reader@; GRANT SELECT ON t TO @reader@;"),
    Damage("a check that reads otherwise after a round trip", "CREATE TABLE t (v varchar CONSTRAINT k CHECK (v IN ('a', 'b')));", ""),
    Damage("a dropped column's remains", "CREATE TABLE t (a int, b int, c int); ALTER TABLE t DROP COLUMN b; INSERT INTO t VALUES (1, 2);", ""),
)  # fmt: skip
