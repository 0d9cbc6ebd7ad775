-- Every kind of object that PostgreSQL has, with rows. @owner@, @reader@ and @group@ are roles of this test.
SET client_min_messages = error;
SET check_function_bodies = off;
CREATE SCHEMA kinds AUTHORIZATION @owner@;
CREATE SCHEMA "odd ""schema""; Type: TABLE
с переносом 🌸";
CREATE SCHEMA empty_schema;
COMMENT ON SCHEMA kinds IS 'a comment; with '' quotes, \ and
a second line';
SET search_path = kinds;

-- types
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy', '嬉しい', 'with '' quote');
CREATE TYPE pair AS (a int, b text COLLATE "C", c kinds.mood);
CREATE TYPE nested AS (one kinds.pair, many kinds.pair[]);
CREATE DOMAIN positive AS int DEFAULT 1 CONSTRAINT positive_check CHECK (VALUE > 0);
CREATE DOMAIN short AS varchar(5) NOT NULL CONSTRAINT short_check CHECK (VALUE IN ('a', 'bb', 'ccc'));
CREATE DOMAIN pairs AS kinds.pair[] CHECK (cardinality(VALUE) < 9);
CREATE TYPE floatrange AS RANGE (subtype = float8, subtype_diff = float8mi, multirange_type_name = floatmulti);
CREATE TYPE shell_type;
COMMENT ON TYPE mood IS 'how somebody feels';
COMMENT ON COLUMN pair.a IS 'the first';
COMMENT ON DOMAIN positive IS 'more than zero';
COMMENT ON CONSTRAINT positive_check ON DOMAIN positive IS 'says so';
ALTER DOMAIN positive ADD CONSTRAINT not_yet CHECK (VALUE <> 13) NOT VALID;
CREATE COLLATION german FROM "C";
COMMENT ON COLLATION german IS 'not really';

-- one column of every type
CREATE TABLE types (
    id int PRIMARY KEY, t_bool bool, t_small int2, t_int int4, t_big int8, t_num numeric, t_num2 numeric(12, 4),
    t_real float4, t_double float8, t_money money, t_char char(5), t_qchar "char", t_varchar varchar(20), t_text text,
    t_name name, t_bytea bytea, t_date date, t_time time, t_timetz timetz, t_ts timestamp, t_tstz timestamptz,
    t_interval interval, t_interval2 interval day to second(3), t_bit bit(5), t_varbit varbit, t_uuid uuid,
    t_json json, t_jsonb jsonb, t_jsonpath jsonpath, t_xml xml, t_inet inet, t_cidr cidr, t_mac macaddr,
    t_mac8 macaddr8, t_point point, t_line line, t_lseg lseg, t_box box, t_path path, t_polygon polygon,
    t_circle circle, t_tsvector tsvector, t_tsquery tsquery, t_int4range int4range, t_numrange numrange,
    t_tstzrange tstzrange, t_daterange daterange, t_multi nummultirange, t_own floatrange, t_ownmulti floatmulti,
    t_enum mood, t_pair pair, t_nested nested, t_positive positive, t_short varchar(5), t_pairs pairs,
    t_ints int[], t_grid int[][], t_texts text[], t_moods mood[], t_pairarray pair[], t_jsons jsonb[],
    t_oid oid, t_regclass regclass, t_regtype regtype, t_regproc regprocedure, t_regrole regrole,
    t_regnamespace regnamespace, t_xid xid, t_xid8 xid8, t_cid cid, t_tid tid, t_lsn pg_lsn, t_snapshot pg_snapshot,
    t_acl aclitem, t_int2vector int2vector, t_oidvector oidvector, t_refcursor refcursor
);
INSERT INTO types (id) VALUES (0);
INSERT INTO types VALUES (
    1, true, -32768, 2147483647, -9223372036854775808, 1.00, 123.4500, 'NaN', '-0', '1234.56', 'ab', 'q', 'a  ', E'x\t\\ "',
    'kinds', '\x00ff0a5c', 'infinity', '24:00', '12:34:56.789+09:30', '-infinity', '2026-11-24 03:00:00.000001+00',
    '1 mon -1 day +24:00:00.000001', '1 day 00:00:01.5', B'10110', B'', '00000000-0000-0000-0000-000000000001',
    '{"b":1,  "a": 1.0, "a": 2}', '{"b": 1.00, "a": [null, "\u5b09", 1e3]}', '$.a[*] ? (@ > 1)', NULL,
    '10.0.0.1/8', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '(1.5,-0)', '{1,-1,0.1}',
    '[(0,0),(1,1)]', '(1,1),(0,0)', '[(0,0),(1,1),(2,0)]', '((0,0),(1,1),(2,0))', '<(0,0),1e-300>',
    $$'a':1A,2B 'b''c'$$, $$'a' & !('b' <-> 'c')$$, '[1,10)', '(,5.50]', '["2026-01-01 00:00:00+00",infinity)', 'empty',
    '{[1,2),[3.0,4.00)}', '[1.5,2.5]', '{[1,2],(3,4)}', '嬉しい', ROW(1, '', 'ok'),
    ROW(ROW(NULL, NULL, NULL), ARRAY[NULL, ROW(2, 'x,"y', 'sad')::pair]), 5, 'bb', ARRAY[ROW(1, 'a', 'ok')::pair],
    '[3:5]={1,NULL,3}', '{{1,2},{3,4}}', ARRAY['', NULL, 'NULL', 'a"b', 'ä{,}'], '{happy,sad}',
    ARRAY[ROW(9, NULL, NULL)::pair], ARRAY['1.0'::jsonb, '1.00'],
    '4294967295', 'kinds.types', 'kinds.mood', 'pg_catalog.lower(text)', '@owner@', 'kinds', '7', '8', '9', '(1,2)', '16/B374D848',
    '10:20:10,14,15', '@reader@=r/@owner@', '1 2 3', '1 2 3', 'cursor'
);
INSERT INTO types (id, t_double, t_real, t_num, t_text, t_bytea, t_jsonb) VALUES
    (2, '0', '-0', 'Infinity', '', '', 'null'), (3, 'NaN', 'Infinity', 'NaN', NULL, NULL, '1.0'),
    (4, 0.1 + 0.2::float8, 1.1, 1.000, ' ', '\x00', '1.00'), (5, '4.9e-324', '1e-45', 1e100, E'\n', '\xff', '"1"');
DO $$ BEGIN
    UPDATE types SET t_xml = '<a b="c">é</a>' WHERE id = 1;
EXCEPTION WHEN feature_not_supported THEN NULL;  -- some servers are built without libxml
END $$;
ALTER TABLE types OWNER TO @owner@;
ALTER TABLE types ALTER COLUMN t_text SET STATISTICS 500, ALTER COLUMN t_int SET (n_distinct = -0.5);
ALTER TABLE types ALTER COLUMN t_text SET STORAGE EXTERNAL, ALTER COLUMN t_bytea SET COMPRESSION pglz;
COMMENT ON COLUMN types.t_text IS 'text';

-- duplicates and shapes of tables
CREATE TABLE duplicates (a int, b text);
INSERT INTO duplicates VALUES (1, 'x'), (1, 'x'), (1, 'x'), (NULL, NULL), (NULL, NULL), (NULL, '');
CREATE TABLE no_columns ();
INSERT INTO no_columns DEFAULT VALUES;
INSERT INTO no_columns DEFAULT VALUES;
CREATE TABLE dropped_column (a int, b int, c text);
ALTER TABLE dropped_column DROP COLUMN b;
INSERT INTO dropped_column VALUES (1, 'one');
CREATE UNLOGGED TABLE unlogged (n int);
INSERT INTO unlogged VALUES (1);
CREATE TABLE "odd ""table""; Type: VIEW; Schema: x; Owner: y
--
🌸" ("limit" int, "new
line" text, "ü""q" int DEFAULT 3);
INSERT INTO "odd ""table""; Type: VIEW; Schema: x; Owner: y
--
🌸" VALUES (1, 'a', 2);
ALTER TABLE "odd ""table""; Type: VIEW; Schema: x; Owner: y
--
🌸" OWNER TO @owner@;
COMMENT ON COLUMN "odd ""table""; Type: VIEW; Schema: x; Owner: y
--
🌸"."limit" IS 'odd';
GRANT SELECT ("limit"), UPDATE ("new
line") ON "odd ""table""; Type: VIEW; Schema: x; Owner: y
--
🌸" TO @reader@;
CREATE TABLE "odd ""schema""; Type: TABLE
с переносом 🌸".plain (n int);
CREATE TABLE of_type OF pair (a PRIMARY KEY, b DEFAULT 'x');
INSERT INTO of_type VALUES (1, 'b', 'ok');
CREATE TABLE checks (
    kind varchar(10) CHECK (kind IN ('a', 'b', 'c')), word varchar NOT NULL CHECK (word = ANY (ARRAY['x', 'y'])),
    "char" char(3) CHECK ("char" <> 'abc'), n int CONSTRAINT n_positive CHECK (n > 0) NO INHERIT,
    BETWEEN_ int CHECK (BETWEEN_ BETWEEN 1 AND 3)
);
INSERT INTO checks VALUES ('a', 'x', 'z', 1, 2);
ALTER TABLE checks ADD CONSTRAINT later CHECK (n < 100) NOT VALID;
COMMENT ON CONSTRAINT later ON checks IS 'checked later';
CREATE TABLE generated (a int, b int GENERATED ALWAYS AS (a * 2) STORED, c text);
INSERT INTO generated (a, c) VALUES (1, 'one'), (2, NULL);
CREATE TABLE identities (
    a int GENERATED ALWAYS AS IDENTITY (START 10 INCREMENT 5 CACHE 3), b bigint GENERATED BY DEFAULT AS IDENTITY, c int
);
INSERT INTO identities (c) VALUES (1), (2);
CREATE TABLE options (a int, b text) WITH (fillfactor = 70, autovacuum_enabled = false, toast.autovacuum_enabled = false);
ALTER TABLE options REPLICA IDENTITY FULL;
CREATE TABLE replicated (a int NOT NULL, b text);
CREATE UNIQUE INDEX replicated_a ON replicated (a);
ALTER TABLE replicated REPLICA IDENTITY USING INDEX replicated_a;
ALTER TABLE replicated CLUSTER ON replicated_a;
CREATE TABLE excluding (span int4range, EXCLUDE USING gist (span WITH &&) DEFERRABLE INITIALLY DEFERRED);
INSERT INTO excluding VALUES ('[1,3)'), ('[3,5)');

-- keys and indexes
CREATE TABLE parents (id int PRIMARY KEY, code text UNIQUE NULLS NOT DISTINCT, other int UNIQUE);
INSERT INTO parents VALUES (1, 'a', 1), (2, NULL, 2);
CREATE TABLE children (
    id int PRIMARY KEY, parent int CONSTRAINT to_parent REFERENCES parents ON DELETE CASCADE ON UPDATE SET NULL,
    other int CONSTRAINT to_other REFERENCES parents (other) DEFERRABLE INITIALLY DEFERRED, code text, score numeric
);
INSERT INTO children VALUES (1, 1, 2, 'abc', 1.50), (2, NULL, NULL, 'ABC', 1.5), (3, 2, 1, NULL, NULL);
ALTER TABLE children ADD CONSTRAINT unchecked FOREIGN KEY (id) REFERENCES parents NOT VALID;
CREATE INDEX children_lower ON children (lower(code) text_pattern_ops DESC NULLS LAST) INCLUDE (score) WHERE score > 1;
CREATE INDEX children_hash ON children USING hash (code);
CREATE UNIQUE INDEX children_unique ON children (code COLLATE "C", id) WITH (fillfactor = 80);
CREATE INDEX types_gin ON types USING gin (t_jsonb jsonb_path_ops) WITH (fastupdate = off);
CREATE INDEX types_brin ON types USING brin (t_int) WITH (pages_per_range = 16);
CREATE INDEX children_expression ON children ((score + 1), (id % 2));
ALTER INDEX children_expression ALTER COLUMN 1 SET STATISTICS 77;
COMMENT ON INDEX children_hash IS 'hashed';
CREATE STATISTICS two_columns (ndistinct, dependencies, mcv) ON id, code FROM children;
ALTER STATISTICS two_columns SET STATISTICS 200;
CREATE STATISTICS an_expression ON (lower(code)) FROM children;
COMMENT ON STATISTICS two_columns IS 'two';

-- partitions and heirs
CREATE TABLE by_range (at date NOT NULL, kind text, n int DEFAULT 0, PRIMARY KEY (at, kind)) PARTITION BY RANGE (at);
CREATE TABLE by_range_1 PARTITION OF by_range FOR VALUES FROM (MINVALUE) TO ('2026-01-01');
CREATE TABLE by_range_2 PARTITION OF by_range (n DEFAULT 7) FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')
    PARTITION BY LIST (kind);
CREATE TABLE by_range_2_a PARTITION OF by_range_2 FOR VALUES IN ('a', 'b');
CREATE TABLE by_range_2_rest PARTITION OF by_range_2 DEFAULT;
CREATE TABLE by_range_rest (kind text NOT NULL, n int, at date NOT NULL);
ALTER TABLE by_range ATTACH PARTITION by_range_rest DEFAULT;
INSERT INTO by_range VALUES ('2025-05-05', 'a', 1), ('2026-05-05', 'a', 2), ('2026-05-05', 'c', 3), ('2030-01-01', 'z', 4);
CREATE INDEX by_range_n ON by_range (n);
CREATE INDEX by_range_only ON ONLY by_range (kind);
CREATE TABLE by_hash (id int, t text) PARTITION BY HASH (id);
CREATE TABLE by_hash_0 PARTITION OF by_hash FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE by_hash_1 PARTITION OF by_hash FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO by_hash SELECT n, 'row ' || n FROM generate_series(1, 20) AS n;
CREATE TABLE by_enum (m mood, n int) PARTITION BY LIST (m);
CREATE TABLE by_enum_ok PARTITION OF by_enum FOR VALUES IN ('ok', 'happy');
INSERT INTO by_enum VALUES ('ok', 1);
CREATE TABLE animals (name text, CHECK (name <> ''));
CREATE TABLE dogs (tricks int) INHERITS (animals);
CREATE TABLE puppies (age int) INHERITS (dogs);
INSERT INTO animals VALUES ('a'); INSERT INTO dogs VALUES ('d', 1); INSERT INTO puppies VALUES ('p', 2, 3);

-- views and rules
CREATE VIEW plain_view WITH (security_barrier, security_invoker) AS SELECT id, code FROM children WHERE id > 0
    WITH LOCAL CHECK OPTION;
CREATE VIEW on_view AS SELECT count(*) AS n, max(code) AS top FROM plain_view;
ALTER VIEW on_view ALTER COLUMN n SET DEFAULT 4;
CREATE RECURSIVE VIEW counting (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM counting WHERE n < 5;
CREATE MATERIALIZED VIEW filled WITH (fillfactor = 75) AS SELECT kind, sum(n) AS total FROM by_range GROUP BY kind;
CREATE UNIQUE INDEX filled_kind ON filled (kind);
CREATE MATERIALIZED VIEW unfilled AS SELECT * FROM children WITH NO DATA;
CREATE MATERIALIZED VIEW on_filled AS SELECT count(*) AS n FROM filled;
COMMENT ON VIEW plain_view IS 'a view';
COMMENT ON MATERIALIZED VIEW filled IS 'filled';
CREATE TABLE ruled (a int);
CREATE TABLE rule_log (a int, at int);
CREATE RULE also AS ON INSERT TO ruled DO ALSO INSERT INTO rule_log VALUES (NEW.a, 1);
CREATE RULE never AS ON DELETE TO ruled DO INSTEAD NOTHING;
ALTER TABLE ruled DISABLE RULE never;
COMMENT ON RULE also ON ruled IS 'also';
INSERT INTO ruled VALUES (1);

-- functions and what is made of them
CREATE FUNCTION add_one(n int, OUT result int) LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 5 AS 'SELECT n + 1';
CREATE FUNCTION add_one(n text) RETURNS text LANGUAGE sql AS $$SELECT n || '1'$$;
CREATE FUNCTION body_like_a_header() RETURNS text LANGUAGE sql AS $$SELECT '
--
-- Name: intruder; Type: TABLE; Schema: kinds; Owner: nobody
--
SET default_tablespace = '''';
ALTER TABLE x OWNER TO y;
'$$;
CREATE FUNCTION standard(a int, b int DEFAULT 2, VARIADIC c int[] DEFAULT '{}') RETURNS SETOF int
    BEGIN ATOMIC SELECT a + b; SELECT unnest(c); END;
CREATE FUNCTION with_settings() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = kinds, pg_temp
    SET work_mem = '8MB' AS 'BEGIN END';
CREATE FUNCTION returns_table(x int) RETURNS TABLE (a int, b text) LANGUAGE sql ROWS 7 LEAKPROOF AS 'SELECT 1, $$b$$';
CREATE PROCEDURE do_it(INOUT n int) LANGUAGE plpgsql AS 'BEGIN n := n + 1; END';
COMMENT ON FUNCTION add_one(int) IS 'one more';
COMMENT ON PROCEDURE do_it(int) IS 'does it';
REVOKE EXECUTE ON FUNCTION add_one(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION add_one(int) TO @reader@ WITH GRANT OPTION;
ALTER FUNCTION add_one(int) OWNER TO @owner@;
CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0', PARALLEL = safe);
CREATE AGGREGATE middle(float8 ORDER BY float8) (SFUNC = ordered_set_transition, STYPE = internal,
    FINALFUNC = percentile_disc_final, FINALFUNC_EXTRA, HYPOTHETICAL);
CREATE FUNCTION plus(pair, pair) RETURNS pair LANGUAGE sql IMMUTABLE AS 'SELECT ROW($1.a + $2.a, $1.b, $1.c)::kinds.pair';
CREATE OPERATOR + (LEFTARG = pair, RIGHTARG = pair, FUNCTION = plus, COMMUTATOR = +);
COMMENT ON OPERATOR + (pair, pair) IS 'adds pairs';
CREATE FUNCTION positive_cmp(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT pg_catalog.btint4cmp($1, $2)';
CREATE OPERATOR FAMILY own_family USING btree;
CREATE OPERATOR CLASS own_class FOR TYPE int USING btree FAMILY own_family AS
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 positive_cmp(int, int);
COMMENT ON OPERATOR CLASS own_class USING btree IS 'own';
CREATE INDEX children_own ON children (id own_class);
CREATE FUNCTION to_pair(int) RETURNS pair LANGUAGE sql IMMUTABLE AS $$SELECT ROW($1, '', 'ok')::kinds.pair$$;
CREATE CAST (int AS pair) WITH FUNCTION to_pair(int) AS ASSIGNMENT;
CREATE CAST (pair AS json) WITH INOUT;
COMMENT ON CAST (int AS pair) IS 'a cast';
CREATE CONVERSION own_conversion FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE TEXT SEARCH DICTIONARY own_dictionary (TEMPLATE = simple, Accept = false);
CREATE TEXT SEARCH CONFIGURATION own_search (COPY = simple);
ALTER TEXT SEARCH CONFIGURATION own_search ALTER MAPPING FOR word WITH own_dictionary, simple;
CREATE TEXT SEARCH PARSER own_parser (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end,
    LEXTYPES = prsd_lextype);
CREATE TEXT SEARCH TEMPLATE own_template (INIT = dsimple_init, LEXIZE = dsimple_lexize);
COMMENT ON TEXT SEARCH CONFIGURATION own_search IS 'searches';
CREATE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION varchar_support(internal));
CREATE ACCESS METHOD own_heap TYPE TABLE HANDLER heap_tableam_handler;
CREATE TABLE on_own_heap (n int) USING own_heap;
INSERT INTO on_own_heap VALUES (1);
CREATE TABLE on_heap_again (n int);

-- triggers
CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN COALESCE(NEW, OLD); END';
CREATE TABLE triggered (a int, b text);
CREATE TRIGGER before_it BEFORE INSERT OR UPDATE OF b ON triggered FOR EACH ROW WHEN (NEW.a > 0) EXECUTE FUNCTION fire('x', '''y');
CREATE TRIGGER after_it AFTER UPDATE ON triggered REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION fire();
CREATE TRIGGER is_off BEFORE DELETE ON triggered FOR EACH ROW EXECUTE FUNCTION fire();
CREATE TRIGGER is_replica BEFORE DELETE ON triggered FOR EACH ROW EXECUTE FUNCTION fire();
CREATE TRIGGER is_always BEFORE DELETE ON triggered FOR EACH ROW EXECUTE FUNCTION fire();
CREATE CONSTRAINT TRIGGER deferred_it AFTER INSERT ON triggered DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fire();
ALTER TABLE triggered DISABLE TRIGGER is_off;
ALTER TABLE triggered ENABLE REPLICA TRIGGER is_replica;
ALTER TABLE triggered ENABLE ALWAYS TRIGGER is_always;
COMMENT ON TRIGGER before_it ON triggered IS 'before';
CREATE TRIGGER on_partitions BEFORE INSERT ON by_range FOR EACH ROW EXECUTE FUNCTION fire();
ALTER TABLE by_range_1 DISABLE TRIGGER on_partitions;
INSERT INTO triggered VALUES (1, 'x');
CREATE FUNCTION see() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER @prefix@_seen ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION see();
CREATE EVENT TRIGGER @prefix@_off ON sql_drop EXECUTE FUNCTION see();
ALTER EVENT TRIGGER @prefix@_off DISABLE;
COMMENT ON EVENT TRIGGER @prefix@_seen IS 'sees';

-- row-level security
CREATE TABLE secured (owner text, t text);
INSERT INTO secured VALUES ('a', 'x'), ('b', 'y');
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
ALTER TABLE secured FORCE ROW LEVEL SECURITY;
ALTER TABLE secured OWNER TO @owner@;
CREATE POLICY own_rows ON secured FOR SELECT TO @reader@, @group@ USING (owner = current_user);
CREATE POLICY restrictive ON secured AS RESTRICTIVE FOR UPDATE USING (true) WITH CHECK (t <> '');
COMMENT ON POLICY own_rows ON secured IS 'own';

-- sequences
CREATE SEQUENCE plain_sequence;
CREATE SEQUENCE small_sequence AS smallint START 5 MINVALUE 1 MAXVALUE 100 CACHE 4 CYCLE;
CREATE SEQUENCE downwards INCREMENT -3 START 100 MAXVALUE 100 MINVALUE -100;
CREATE UNLOGGED SEQUENCE unlogged_sequence;
CREATE SEQUENCE owned_sequence OWNED BY children.id;
SELECT nextval('plain_sequence'), nextval('downwards'), setval('small_sequence', 50, false);
CREATE TABLE serials (id serial, b bigserial);
INSERT INTO serials DEFAULT VALUES;
COMMENT ON SEQUENCE plain_sequence IS 'plain';
GRANT USAGE ON SEQUENCE plain_sequence TO @reader@;

-- foreign data, publications, subscriptions
CREATE FOREIGN DATA WRAPPER own_wrapper OPTIONS (debug 'true');
CREATE SERVER own_server TYPE 'none' VERSION '1' FOREIGN DATA WRAPPER own_wrapper OPTIONS (host 'x', password 'server-secret-1');
CREATE USER MAPPING FOR @reader@ SERVER own_server OPTIONS (user 'somebody', password 'mapping-secret-2');
CREATE USER MAPPING FOR PUBLIC SERVER own_server OPTIONS (password 'public-secret-3');
CREATE FOREIGN TABLE far_away (a int OPTIONS (column_name 'b') NOT NULL, t text DEFAULT 'x') SERVER own_server OPTIONS (path '/x');
COMMENT ON FOREIGN TABLE far_away IS 'far';
GRANT USAGE ON FOREIGN SERVER own_server TO @reader@;
CREATE PUBLICATION some_tables FOR TABLE children (id, code) WHERE (id > 0), parents WITH (publish = 'insert, update');
CREATE PUBLICATION all_tables FOR ALL TABLES WITH (publish_via_partition_root = true);
CREATE PUBLICATION of_schema FOR TABLES IN SCHEMA kinds;
CREATE SUBSCRIPTION @prefix@_subscription CONNECTION 'host=127.0.0.1 port=1 password=subscription-secret-4' PUBLICATION elsewhere
    WITH (connect = false, slot_name = NONE, synchronous_commit = off);
COMMENT ON PUBLICATION some_tables IS 'some';

-- extensions
CREATE EXTENSION pg_trgm SCHEMA kinds;
CREATE EXTENSION hstore SCHEMA public;
CREATE EXTENSION citext SCHEMA kinds VERSION '1.6';
CREATE TABLE extended (h public.hstore, c kinds.citext);
INSERT INTO extended VALUES ('a=>1, "b c"=>NULL', 'MiXeD');
CREATE INDEX extended_trgm ON extended USING gin ((c::text) kinds.gin_trgm_ops);
COMMENT ON EXTENSION hstore IS 'another comment';
GRANT EXECUTE ON FUNCTION public.hstore(text, text) TO @reader@;
REVOKE EXECUTE ON FUNCTION public.hstore(text, text) FROM PUBLIC;

-- large objects
SELECT lo_from_bytea(9001, '\x00ff'), lo_from_bytea(9002, ''), lo_from_bytea(9003, decode(repeat('ab', 70000), 'hex'));
SELECT lo_put(9003, 200000, 'after a hole');
ALTER LARGE OBJECT 9001 OWNER TO @owner@;
GRANT SELECT ON LARGE OBJECT 9001 TO @reader@;
COMMENT ON LARGE OBJECT 9001 IS 'large';

-- privileges
GRANT USAGE ON SCHEMA kinds TO @reader@;
GRANT SELECT, INSERT (a), REFERENCES ON duplicates TO @reader@ WITH GRANT OPTION;
REVOKE ALL ON parents FROM CURRENT_USER;
GRANT SELECT, UPDATE ON parents TO PUBLIC;
REVOKE USAGE ON TYPE mood FROM PUBLIC;
GRANT USAGE ON TYPE mood TO @reader@;
REVOKE USAGE ON LANGUAGE sql FROM PUBLIC;
GRANT USAGE ON LANGUAGE sql TO PUBLIC, @reader@;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO @reader@;
ALTER DEFAULT PRIVILEGES FOR ROLE @owner@ IN SCHEMA kinds REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE @owner@ IN SCHEMA kinds GRANT USAGE ON SEQUENCES TO @group@;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO @reader@;
COMMENT ON SCHEMA public IS 'changed';
REVOKE SELECT ON pg_catalog.pg_proc FROM PUBLIC;
GRANT SELECT (oid, proname) ON pg_catalog.pg_proc TO PUBLIC;
