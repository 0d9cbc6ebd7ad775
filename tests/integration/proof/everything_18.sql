-- What PostgreSQL has since 16, 17 or 18.
SET search_path = kinds;
CREATE TABLE virtual (a int, v int GENERATED ALWAYS AS (a + 1) VIRTUAL, s int GENERATED ALWAYS AS (a + 2) STORED);
INSERT INTO virtual (a) VALUES (1), (2);
CREATE TABLE not_enforced (a int CONSTRAINT wish CHECK (a > 0) NOT ENFORCED, p int REFERENCES parents NOT ENFORCED);
INSERT INTO not_enforced VALUES (-1, 99);
CREATE TABLE named_not_null (a int CONSTRAINT must_be NOT NULL NO INHERIT, b int);
ALTER TABLE named_not_null ADD CONSTRAINT later_not_null NOT NULL b NOT VALID;
CREATE EXTENSION btree_gist SCHEMA kinds;
CREATE TABLE temporal (id int, valid daterange, PRIMARY KEY (id, valid WITHOUT OVERLAPS));
INSERT INTO temporal VALUES (1, '[2026-01-01,2026-02-01)'), (1, '[2026-02-01,infinity)');
CREATE TABLE temporal_child (id int, valid daterange, FOREIGN KEY (id, PERIOD valid) REFERENCES temporal (id, PERIOD valid));
CREATE COLLATION builtin_unicode (provider = builtin, locale = 'C.UTF-8');
CREATE TABLE partitioned_identity (a int GENERATED ALWAYS AS IDENTITY, b int) PARTITION BY LIST (b);
CREATE TABLE partitioned_identity_1 PARTITION OF partitioned_identity FOR VALUES IN (1);
INSERT INTO partitioned_identity (b) VALUES (1);
GRANT MAINTAIN ON children TO @reader@;
CREATE PUBLICATION generated_too FOR TABLE virtual WITH (publish_generated_columns = stored);
