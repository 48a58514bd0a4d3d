-- The tables that notifications are about, as the service serves them. $1: oid[], $2: publication. A partition counts as its root
-- unless it is published itself. mark: another one when it was out of the publication meanwhile. Runs with an empty search_path. columns: [name, type oid, type modifier, is part of the key].
with published as materialized (select relid as oid from pg_catalog.pg_get_publication_tables($2))
select told.oid::int8 as told,
  coalesce((
    select string_agg(pr.oid::text, ' ' order by pr.oid)
    from pg_catalog.pg_publication_rel pr join pg_catalog.pg_publication pub on pub.oid = pr.prpubid and pub.pubname = $2
    where pr.prrelid = c.oid
  ), '') as mark, c.oid::int8 as oid, n.nspname::text as schema, c.relname::text as name,
  c.relreplident = 'i' as by_index,
  coalesce((
    select json_agg(json_build_array(a.attname, a.atttypid::int8, a.atttypmod, a.attnum = any (coalesce(key.columns, '{}'))) order by a.attnum)
    from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  ), '[]')::text as columns
from unnest($1::oid[]) as told (oid)
join pg_catalog.pg_class c
  on c.oid = case when told.oid in (select oid from published) then told.oid else pg_catalog.pg_partition_root(told.oid) end
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join lateral (
  select i.indkey::int2[] as columns from pg_catalog.pg_index i
  where i.indrelid = c.oid and i.indisvalid and case when c.relreplident = 'i' then i.indisreplident else i.indisprimary end
) as key on true
where c.oid in (select oid from published)
