-- psql -v tables='public.products, public.orders' [-v publication=wal2es] -f scripts/setup-queue.sql
--
-- What an administrator makes for `source.capture: queue` before `wal2es setup` can do the rest: the publication, which is the list of
-- followed tables here, and a role. Run it as the owner of the tables, in their database. The server may warn that wal_level
-- is not logical; for a list of tables it need not be.
--
-- Queue, functions and triggers depend on the keys of the tables as the catalog has them, so they are not in this file:
-- `wal2es setup --print` prints their SQL, `wal2es setup` runs it.
\set ON_ERROR_STOP on
\if :{?tables}
\else
  \echo 'name the tables: -v tables=''public.products, public.orders'''
  \quit
\endif
\if :{?publication}
\else
  \set publication wal2es
\endif

SELECT NOT EXISTS (SELECT FROM pg_publication WHERE pubname = :'publication') AS missing \gset
\if :missing
  CREATE PUBLICATION :"publication" FOR TABLE :tables WITH (publish_via_partition_root = true);
\endif
SELECT NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'wal2es') AS missing \gset
\if :missing
  CREATE ROLE wal2es LOGIN;
\endif
GRANT SELECT ON :tables TO wal2es;
\echo 'Next, as the owner of the tables: wal2es setup. Then: GRANT USAGE ON SCHEMA wal2es TO wal2es; GRANT SELECT, UPDATE, DELETE ON ALL TABLES IN SCHEMA wal2es TO wal2es;'
