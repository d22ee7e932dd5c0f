-- What wal2es needs in the database, for an administrator to read and to run with psql:
--
--   psql -d DATABASE -v tables='public.product, public.review' -f scripts/setup.sql
--
-- tables       the tables to index, written as in SQL
-- role         the role that the connector logs in with; default wal2es
-- password     its password, where this script makes the role. It stands in the process list while psql runs: left out, set it
--              afterwards with \password
-- publication, slot   default wal2es, as in wal2es.yml
-- plugin       the slot's output plugin, as in wal2es.yml: pgoutput (default) or test_decoding
--
-- Makes what is missing and changes nothing else, so a second run does nothing. Postgres 14 or newer. Run it as a superuser, or
-- as the owner of the tables with CREATE on the database, CREATEROLE and REPLICATION.
--
-- Managed databases: turn logical replication on first (Amazon RDS: rds.logical_replication = 1; Google Cloud SQL:
-- cloudsql.logical_decoding = on; Azure: wal_level = logical; each with a restart). On RDS and Aurora the attribute REPLICATION
-- can't be given away; the role rds_replication stands for it, and this script grants that where it finds it.

\set ON_ERROR_STOP on
\set QUIET on
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;

\if :{?tables}
\else
\set tables ''
\endif
\if :{?role}
\else
\set role wal2es
\endif
\if :{?password}
\else
\set password ''
\endif
\if :{?publication}
\else
\set publication wal2es
\endif
\if :{?slot}
\else
\set slot wal2es
\endif
\if :{?plugin}
\else
\set plugin pgoutput
\endif

BEGIN;

-- A DO block does not see psql's variables, but settings.
SELECT set_config('wal2es.tables', :'tables', true), set_config('wal2es.publication', :'publication', true),
       set_config('wal2es.slot', :'slot', true), set_config('wal2es.plugin', :'plugin', true)
\g /dev/null

-- Nothing is made before all of this holds.
DO $check$
DECLARE
  given text;
  one record;
  hit record;
BEGIN
  IF current_setting('wal_level') <> 'logical' THEN
    RAISE EXCEPTION 'wal_level is %: ALTER SYSTEM SET wal_level = logical, then restart Postgres', current_setting('wal_level');
  END IF;
  IF btrim(current_setting('wal2es.tables')) = '' THEN
    RAISE EXCEPTION 'name the tables: psql -v tables=''public.product, public.review'' …';
  END IF;
  IF length(regexp_replace(current_setting('wal2es.tables'), '[^"]', '', 'g')) % 2 = 1 THEN
    RAISE EXCEPTION 'tables: a quote is open in %', current_setting('wal2es.tables');
  END IF;

  FOR given IN SELECT btrim(m[1]) FROM regexp_matches(current_setting('wal2es.tables'), '((?:"[^"]*"|[^",])+)', 'g') m LOOP
    SELECT c.oid, c.oid::regclass AS name, c.relkind, c.relpersistence INTO one
      FROM pg_class c WHERE c.oid = to_regclass(given);
    IF one.oid IS NULL THEN
      RAISE EXCEPTION 'there is no table % in the database %', given, current_database();
    END IF;
    IF one.relkind NOT IN ('r', 'p') OR one.relpersistence <> 'p' THEN
      RAISE EXCEPTION '% is no ordinary or partitioned, permanent table: logical replication does not carry it', one.name;
    END IF;
    -- Postgres refuses UPDATE and DELETE on a published table whose rows it can't identify. It asks the partition that holds the
    -- row, so every one is looked at.
    SELECT c.oid::regclass AS name INTO hit
      FROM pg_class c
     WHERE (c.oid = one.oid OR c.oid IN (SELECT relid FROM pg_partition_tree(one.oid)))
       AND c.relreplident <> 'f'
       AND NOT EXISTS (
         SELECT FROM pg_index i
          WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
            AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END)
     LIMIT 1;
    IF FOUND THEN
      RAISE EXCEPTION '% has no usable key: once published, Postgres would refuse UPDATE and DELETE on it. '
        'ALTER TABLE % ADD PRIMARY KEY (…), or ALTER TABLE % REPLICA IDENTITY FULL', hit.name, hit.name, hit.name;
    END IF;
  END LOOP;

  SELECT p.pubviaroot, p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate AS everything INTO hit
    FROM pg_publication p WHERE p.pubname = current_setting('wal2es.publication');
  IF FOUND AND NOT (hit.pubviaroot AND hit.everything) THEN
    RAISE EXCEPTION 'the publication % leaves something out: ALTER PUBLICATION % SET (publish_via_partition_root = true, '
      'publish = ''insert, update, delete, truncate'')', current_setting('wal2es.publication'), current_setting('wal2es.publication');
  END IF;

  SELECT s.plugin, s.database INTO hit FROM pg_replication_slots s WHERE s.slot_name = current_setting('wal2es.slot');
  IF FOUND AND (hit.plugin IS DISTINCT FROM current_setting('wal2es.plugin') OR hit.database IS DISTINCT FROM current_database()) THEN
    RAISE EXCEPTION 'there is a slot % already, of plugin % and database %: name another one with -v slot=…',
      current_setting('wal2es.slot'), hit.plugin, hit.database;
  END IF;
END
$check$;

-- The tables by oid, for what follows.
SELECT string_agg(to_regclass(btrim(m[1]))::oid::text, ',') AS oids
  FROM regexp_matches(:'tables', '((?:"[^"]*"|[^",])+)', 'g') m
\gset

SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_replication') AS on_rds \gset

-- LOGIN: it connects. Nothing more; no ownership, no right to write.
-- Takes CREATEROLE.
SELECT format('CREATE ROLE %I LOGIN', :'role')
       || CASE WHEN :'password' <> '' THEN format(' PASSWORD %L', :'password') ELSE '' END
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role')
\gexec

-- REPLICATION: Postgres sends the log of changes to such roles alone (START_REPLICATION, IDENTIFY_SYSTEM, and the exported
-- snapshot of the first copy). It is a strong right: it covers every database of the server. Limit it to the connector's host
-- in pg_hba.conf.
-- Takes a superuser; from Postgres 16 on CREATEROLE and REPLICATION.
SELECT CASE WHEN :'on_rds' THEN format('GRANT rds_replication TO %I', :'role') ELSE format('ALTER ROLE %I REPLICATION', :'role') END
  FROM pg_roles
 WHERE rolname = :'role' AND NOT rolreplication AND NOT rolsuper
   AND NOT (:'on_rds' AND EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
                                   WHERE m.member = pg_roles.oid AND g.rolname = 'rds_replication'))
\gexec

-- CONNECT, which every role has unless it was taken from PUBLIC.
-- Takes the owner of the database.
SELECT format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), :'role')
 WHERE NOT has_database_privilege(:'role', current_database(), 'CONNECT')
\gexec

-- USAGE on the schemas, without which SELECT on a table in them counts nothing. Every role has it on public.
-- Takes the owner of the schema.
SELECT DISTINCT format('GRANT USAGE ON SCHEMA %s TO %I', c.relnamespace::regnamespace, :'role')
  FROM pg_class c
 WHERE c.oid = ANY (string_to_array(:'oids', ',')::oid[]) AND NOT has_schema_privilege(:'role', c.relnamespace, 'USAGE')
\gexec

-- SELECT on exactly these tables: the first copy reads their rows. The stream of changes is not subject to it, nor to row-level
-- security: what is published is what can be read by the connector.
-- Takes the owner of the tables.
SELECT format('GRANT SELECT ON TABLE %s TO %I', c.oid::regclass, :'role')
  FROM pg_class c WHERE c.oid = ANY (string_to_array(:'oids', ',')::oid[])
\gexec

-- The publication names the tables whose changes are sent. By publish_via_partition_root those of partitions come under the name
-- of the partitioned table.
-- Takes the owner of the tables with CREATE on the database.
SELECT format('CREATE PUBLICATION %I FOR TABLE %s WITH (publish_via_partition_root = true)',
              :'publication', string_agg(c.oid::regclass::text, ', ' ORDER BY c.oid::regclass::text))
  FROM pg_class c
 WHERE c.oid = ANY (string_to_array(:'oids', ',')::oid[])
   AND NOT EXISTS (SELECT FROM pg_publication WHERE pubname = :'publication')
HAVING count(*) > 0
\gexec

-- Where the publication was there before: the tables that it lacks. None is taken out.
-- Takes the owner of the publication and of the tables.
SELECT format('ALTER PUBLICATION %I ADD TABLE %s', :'publication', c.oid::regclass)
  FROM pg_class c
 WHERE c.oid = ANY (string_to_array(:'oids', ',')::oid[])
   AND c.oid NOT IN (SELECT format('%I.%I', t.schemaname, t.tablename)::regclass
                       FROM pg_publication_tables t WHERE t.pubname = :'publication')
\gexec

-- Not done here, because it is much to give: a table with row-level security can only be copied whole by a role that passes it by.
DO $warn$
DECLARE
  given regclass;
BEGIN
  FOR given IN SELECT r.prrelid::regclass
                 FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid JOIN pg_class c ON c.oid = r.prrelid
                WHERE p.pubname = current_setting('wal2es.publication') AND c.relrowsecurity LOOP
    RAISE WARNING '% has row-level security: the first copy stops there unless the role has BYPASSRLS', given;
  END LOOP;
END
$warn$;

COMMIT;

-- The slot keeps the log from now on until the connector confirms it, so start `wal2es run` soon, and drop the slot
-- (`wal2es teardown`) when it is not wanted any more. It waits for transactions that are open now, and can't be made in a
-- transaction that has written.
-- Takes REPLICATION. Without it leave this to `wal2es setup`, which makes the slot as the connector's role.
SELECT pg_create_logical_replication_slot(:'slot', :'plugin')
 WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = :'slot')
\g /dev/null

SELECT format('role %s, publication %s and slot %s are there; next: wal2es run', :'role', :'publication', :'slot');
