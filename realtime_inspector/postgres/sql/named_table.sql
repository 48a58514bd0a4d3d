-- The table of a name, and whether changes of it are seen. $1: schema, $2: table, $3: publication.
select c.oid::int8 as oid, c.relreplident::text as replica_identity,
  exists (
    select from pg_catalog.pg_publication_tables p
    join pg_catalog.pg_namespace s on s.nspname = p.schemaname
    join pg_catalog.pg_class t on t.relnamespace = s.oid and t.relname = p.tablename
    where p.pubname = $3 and t.oid in (
      select c.oid
      union all select relid::oid from pg_catalog.pg_partition_tree(c.oid)
      union all select relid::oid from pg_catalog.pg_partition_ancestors(c.oid))
  ) as published
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p')
