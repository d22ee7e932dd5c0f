-- The tables that are recorded, and what happens to them. `types.name` says what a row shows; it names the seeds.
CREATE TYPE mood AS ENUM ('sad', 'it''s "ok"', 'ünï 😀');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN positive AS numeric CHECK (value > 0);
CREATE TABLE types (
  name text PRIMARY KEY, bool bool, int2 int2, int4 int4, int8 int8, oid oid, float4 float4, float8 float8, numeric numeric,
  text text, varchar varchar(40), char char(6), uuid uuid, enum mood, date date, timestamp timestamp, timestamptz timestamptz,
  bytea bytea, json json, jsonb jsonb, tsvector tsvector, int4range int4range, int8range int8range, numrange numrange,
  daterange daterange, tsrange tsrange, tstzrange tstzrange, hstore hstore, time time, interval interval, inet inet, bit bit(3),
  varbit varbit, box box, pair pair, positive positive, bools bool[], ints int4[], numerics numeric[], texts text[],
  timestamps timestamp[], byteas bytea[], jsonbs jsonb[], ranges int4range[], hstores hstore[], boxes box[], bits bit(3)[]
);
CREATE TABLE full_identity (id int PRIMARY KEY, big text, small text);
ALTER TABLE full_identity REPLICA IDENTITY FULL;
ALTER TABLE full_identity ALTER big SET STORAGE EXTERNAL;
CREATE TABLE "Odd Näme" ("Id" int, "a""b" text, "select" text, PRIMARY KEY ("Id", "a""b"));
CREATE TABLE no_columns ();
CREATE TABLE no_identity (a int, b text);
ALTER TABLE no_identity REPLICA IDENTITY NOTHING;
-- Not published: it makes transactions large enough to be streamed without being sent.
CREATE TABLE filler (t text);
CREATE PUBLICATION p FOR TABLE types, full_identity, "Odd Näme", no_columns;
ALTER PUBLICATION p SET (publish = 'insert, update, delete, truncate');
SELECT pg_create_logical_replication_slot('p', 'pgoutput');
SELECT pg_create_logical_replication_slot('t', 'test_decoding');

INSERT INTO types (name) VALUES ('null');
INSERT INTO types VALUES
  ('plain', true, -32768, 2147483647, -9223372036854775808, 4294967295, 1e-45, 1.7976931348623157e308, 1.50, 'text', 'varchar', 'ab',
   'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'sad', '2024-02-29', '2024-02-29 12:34:56.789', '2024-02-29 12:34:56.789+05:30', '\x6869',
   '{"a": 1, "b": [1, 2.50, {"c": null}]}', '{"a": 1, "b": [1, 2.50, {"c": null}]}', 'a:1 cat:2,3A', '[1,5)', '[1,5)', '[1.50,2.5]',
   '[2024-01-01,2024-02-01)', '[2024-01-01 10:00,2024-02-01)', '[2024-01-01 10:00+02,2024-02-01)', 'a=>1, b=>NULL', '12:34:56.7',
   '1 year 2 days 03:04:05', '192.168.0.1/24', B'101', B'1', '(1,2),(0,0)', '(1,"a b")', 0.10, '{t,f}', '{1,NULL,-3}', '{1.50,NaN}',
   '{a,"b c",NULL}', '{2024-02-29 12:34:56.789}', '{"\\x6869","\\x"}', '{"{\"a\": 1}","null"}', '{"[1,5)",empty}',
   '{"a=>1, b=>NULL"}', '{(1,1),(0,0);(2,2),(1,1)}', '{101,010}'),
  ('nasty', false, 0, -1, 0, 0, 'NaN', '-Infinity', 'NaN', E'it''s "x" \\ \t\r\n\b\f\u0001\u007f\u2028 😀', 'NULL', '', NULL,
   'it''s "ok"', 'infinity', '-infinity', 'infinity', '\x', E'{"a":1, "a" :\n2,"\\u0061":3,"\\ud83d\\ude00":"\\u0000","":{}}',
   '{"": "\\\"\n", "é": 1e400, "z": -0.0}', '''it''''s'' "q":1', 'empty', '(,)', '[-Infinity,Infinity]', '[2024-01-01,infinity)',
   '[-infinity,)', '(,"2024-01-01 10:00:00+00"]', '""=>"", "a\"b"=>"c\\d", "=>"=>", ", "NULL"=>"NULL"', '24:00:00', '-1 mons +1 day',
   '::1', B'000', B'', '(0,0),(0,0)', '(,)', 1e-9, '{}', '[0:1][-1:0]={{1,2},{3,4}}', '{{1.50,1e9},{-0.1,Infinity}}',
   E'{"",NULL,"NULL","null","a\\"b","c\\\\d","{}"," x","a,b",it''s,"a\tb\nc",😀}', '{infinity,-infinity,"0044-03-15 00:00:00 BC"}',
   '{NULL,"\\x00ff"}', '{"[]","\"\\\"x\\\"\"","{\"a\": {\"b\": [1, \"x,y\"]}}"}', '{"(,)","[-5,-1)"}', '{"","\"a\\\"b\"=>\"c,d\""}', '{}',
   '{}'),
  ('far', true, 7, 1000000, 9007199254740993, 1, '3.4e38', -0.0, 12345678901234567890123456789012345678901234567890.000100,
   '', 'ünï', 'ÿ', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 'ünï 😀', '0044-03-15 BC', '294276-12-31 23:59:59.999999',
   '0001-01-01 00:00:00+00 BC', '\x00ff80', '[[[[[]]]], "\ud800"]', '[123456789012345678901234567890.10, "\u2028"]', '',
   '(,5)', '[9007199254740993,)', '(0,1)', '(,)', 'empty', '(,)', '', '00:00:00.000001', '-178000000 years', '10.0.0.0/8', B'111',
   B'10101010101', '(1e300,-1e-300),(0,0)', '(7,"(1,\\""2)")', 99999999999999999999, '{{t},{f}}', '{{{{{{1}}}}}}', '{}',
   '{{a,b},{"{x}","\\"}}', '{}', '{}', '{"1","-0.0","1e400"}', '{}', '{}', NULL, '[5:6]={000,111}');
INSERT INTO full_identity VALUES (1, repeat('long ', 600), 'a'), (2, NULL, 'it''s'), (3, repeat('it''s ', 500), 'c');
INSERT INTO "Odd Näme" VALUES (1, 'key''s', 'old-key: x[integer]:1 new-tuple: y'), (2, '', NULL);
INSERT INTO no_columns DEFAULT VALUES;
INSERT INTO no_identity VALUES (1, 'x');
BEGIN;
UPDATE full_identity SET small = 'b';
UPDATE full_identity SET id = 4, small = NULL WHERE id = 2;
UPDATE "Odd Näme" SET "a""b" = 'other' WHERE "Id" = 1;
UPDATE "Odd Näme" SET "select" = 'null' WHERE "Id" = 2;
SELECT pg_logical_emit_message(true, 'prefix, sz: 1 content:', E'\\x00fe27'::bytea);
SELECT pg_logical_emit_message(false, 'outside', 'of it');
DELETE FROM full_identity WHERE id = 3;
DELETE FROM "Odd Näme" WHERE "Id" = 2;
COMMIT;
BEGIN;
ALTER TABLE "Odd Näme" ADD later mood DEFAULT 'sad';
INSERT INTO "Odd Näme" VALUES (3, 'after', NULL, 'it''s "ok"');
ALTER TABLE "Odd Näme" DROP "select";
INSERT INTO "Odd Näme" VALUES (4, 'twice', 'sad');
TRUNCATE "Odd Näme", full_identity;
COMMIT;
TRUNCATE no_columns CASCADE;
TRUNCATE full_identity RESTART IDENTITY CASCADE;
BEGIN;
INSERT INTO full_identity VALUES (10, 'kept', NULL);
INSERT INTO filler SELECT repeat('x', 100) FROM generate_series(1, 700);
SAVEPOINT a;
INSERT INTO full_identity VALUES (11, 'gone', NULL);
INSERT INTO filler SELECT repeat('x', 100) FROM generate_series(1, 700);
ROLLBACK TO a;
SAVEPOINT b;
INSERT INTO full_identity VALUES (12, 'kept too', NULL);
SELECT pg_logical_emit_message(true, 'streamed', 'message');
ALTER TABLE full_identity ADD later int;
INSERT INTO full_identity VALUES (13, 'of another shape', NULL, 1);
INSERT INTO filler SELECT repeat('x', 100) FROM generate_series(1, 700);
TRUNCATE "Odd Näme";
UPDATE full_identity SET small = 'x' WHERE id = 12;
DELETE FROM full_identity WHERE id = 10;
COMMIT;
BEGIN;
INSERT INTO full_identity VALUES (20, 'all of it is gone', NULL);
INSERT INTO filler SELECT repeat('x', 100) FROM generate_series(1, 700);
ROLLBACK;
INSERT INTO full_identity VALUES (21, 'the end', NULL);
