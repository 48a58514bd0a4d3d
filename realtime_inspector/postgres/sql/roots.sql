-- Under which table the changes of relations count. $1: oid[]. root: the topmost partitioned table, or the relation itself.
-- full: whole old rows are in the log; keyed: at least their keys are. pgoutput goes by the root's replica identity when it names the
-- root, but what is in the log follows from each partition's own. key: the columns that name a row of the root. own, order: a partition's columns, and the root's
-- names in the root's order, which may be another one.
with relations as (
  select c.oid, r.oid as root, r.relname as name, r.relnamespace as schema, r.relreplident as identity
  from pg_catalog.pg_class c
  join pg_catalog.pg_class r on r.oid = coalesce(pg_catalog.pg_partition_root(c.oid)::oid, c.oid)
  where c.oid = any ($1)
)
select r.oid::int8 as oid, r.root::int8 as root, n.nspname::text as schema, r.name::text as name,
  coalesce(leaves.full, true) as full, coalesce(leaves.keyed, true) as keyed,
  array(select a.attname::text from pg_catalog.pg_index i
        join pg_catalog.pg_attribute a on a.attrelid = r.root and a.attnum = any (i.indkey::int2[])
        where i.indrelid = r.root and i.indisvalid and case when r.identity = 'i' then i.indisreplident else i.indisprimary end) as key,
  array(select format('%s %s', a.attname, a.atttypid) from pg_catalog.pg_attribute a
        where a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped order by a.attnum) as own,
  array(select a.attname::text from pg_catalog.pg_attribute a
        where a.attrelid = r.root and a.attnum > 0 and not a.attisdropped order by a.attnum) as order
from relations r
join pg_catalog.pg_namespace n on n.oid = r.schema
cross join lateral (
  select bool_and(l.relreplident = 'f') as full,
    bool_and(l.relreplident = 'f' or (l.relreplident = 'd' and r.identity <> 'i') or (r.identity = 'i' and exists (
      select from pg_catalog.pg_index i
      cross join lateral pg_catalog.pg_partition_ancestors(i.indexrelid) a
      join pg_catalog.pg_index above on above.indexrelid = a.relid::oid and above.indisreplident and above.indrelid = r.root
      where i.indrelid = l.oid and i.indisreplident))) as keyed
  from pg_catalog.pg_partition_tree(r.root) t
  join pg_catalog.pg_class l on l.oid = t.relid::oid
  where t.isleaf
) as leaves
