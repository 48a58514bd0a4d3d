-- What the page offers to subscribe to: the tables and columns of the publication $1, as a client names them.
select
  published.schemaname as schema,
  published.tablename as name,
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
from pg_catalog.pg_publication_tables as published
join pg_catalog.pg_namespace as namespace on namespace.nspname = published.schemaname
join pg_catalog.pg_class as class on class.relnamespace = namespace.oid and class.relname = published.tablename
left join pg_catalog.pg_attribute as attribute on attribute.attrelid = class.oid and attribute.attnum > 0 and not attribute.attisdropped
left join pg_catalog.pg_index as key on key.indrelid = class.oid and key.indisprimary
where published.pubname = $1
group by published.schemaname, published.tablename, class.relrowsecurity, class.relreplident
order by published.schemaname, published.tablename
