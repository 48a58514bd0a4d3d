-- What the page offers to subscribe to: the tables and columns of the publication $1, as a client names them. Partitions go by their root.
select
  namespace.nspname as schema,
  class.relname as name,
  class.relrowsecurity as rls,
  case class.relreplident when 'd' then 'default' when 'n' then 'nothing' when 'f' then 'full' else 'index' end as replica_identity,
  coalesce(
    json_agg(
      json_build_object(
        'name', attribute.attname,
        'type', format_type(attribute.atttypid, attribute.atttypmod),
        'key', coalesce(attribute.attnum = any (key.indkey), false)
      ) order by attribute.attnum
    ) filter (where attribute.attname is not null),
    '[]'
  )::text as columns
from (
  select distinct coalesce(pg_catalog.pg_partition_root(class.oid)::oid, class.oid) as oid
  from pg_catalog.pg_publication_tables as named
  join pg_catalog.pg_namespace as namespace on namespace.nspname = named.schemaname
  join pg_catalog.pg_class as class on class.relnamespace = namespace.oid and class.relname = named.tablename
  where named.pubname = $1
) as published
join pg_catalog.pg_class as class on class.oid = published.oid
join pg_catalog.pg_namespace as namespace on namespace.oid = class.relnamespace
left join pg_catalog.pg_attribute as attribute on attribute.attrelid = class.oid and attribute.attnum > 0 and not attribute.attisdropped
left join pg_catalog.pg_index as key on key.indrelid = class.oid and key.indisprimary
group by namespace.nspname, class.relname, class.relrowsecurity, class.relreplident
order by namespace.nspname, class.relname
