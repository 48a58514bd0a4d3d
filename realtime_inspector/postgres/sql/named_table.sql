-- The table of a name, and what of it is published. $1: schema, $2: table, $3: publication. A partition is published with its root.
select c.oid::int8 as oid, told.published,
  array(
    select kind from pg_catalog.pg_publication p
    cross join lateral (values ('INSERT', p.pubinsert), ('UPDATE', p.pubupdate), ('DELETE', p.pubdelete)) as kinds (kind, included)
    where p.pubname = $3 and included) as operations,
  told.row_filter
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
cross join lateral (
  -- Postgres 14 has no row filters, and no such column
  select count(*) > 0 as published, min(to_jsonb(p) ->> 'rowfilter') as row_filter
  from pg_catalog.pg_publication_tables p
  join pg_catalog.pg_namespace s on s.nspname = p.schemaname
  join pg_catalog.pg_class t on t.relnamespace = s.oid and t.relname = p.tablename
  where p.pubname = $3 and t.oid in (
    select c.oid
    union all select relid::oid from pg_catalog.pg_partition_tree(c.oid)
    union all select relid::oid from pg_catalog.pg_partition_ancestors(c.oid))
) as told
where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p')
