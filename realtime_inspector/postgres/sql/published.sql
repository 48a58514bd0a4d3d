-- The relation of a name with what the subscriber's role may do there. $1: schema, $2: table, $3: role, $4: publication.
select c.oid::int8 as oid,
  exists (select from pg_catalog.pg_publication_tables p where p.pubname = $4 and p.schemaname = $1 and p.tablename = $2) as published,
  exists (select from pg_catalog.pg_roles where rolname = $3) as role_exists
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p', 'v', 'm', 'f')
