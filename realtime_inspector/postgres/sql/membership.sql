-- A publication and its tables, each under the name of its root and with what it is published by. $1: publication.
-- pg_publication's xmin moves with its options and not with its tables; a table that is put back gets a new pg_publication_rel.oid.
select p.oid::int8 as publication, p.xmin::text as mark, c.oid::int8 as oid, rn.nspname as schema, r.relname as name, n.nspname as own_schema,
  coalesce((
    select string_agg(pr.oid::text, ' ' order by pr.oid)
    from pg_catalog.pg_publication_rel pr
    where pr.prpubid = p.oid and (pr.prrelid = c.oid or pr.prrelid in (select relid from pg_partition_ancestors(c.oid)))
  ), '') as by_table
from pg_catalog.pg_publication p
left join (
  pg_catalog.pg_publication_tables t
  join pg_catalog.pg_namespace n on n.nspname = t.schemaname
  join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = t.tablename
  join pg_catalog.pg_class r on r.oid = coalesce(pg_partition_root(c.oid), c.oid)
  join pg_catalog.pg_namespace rn on rn.oid = r.relnamespace
) on t.pubname = p.pubname
where p.pubname = $1
