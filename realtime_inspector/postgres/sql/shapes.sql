-- The lasting facts of relations. $1: oid[]. Runs with an empty search_path, so that format_type qualifies.
-- A type without its length is asked for with typmod -1: with null, character would come out as char(1).
with recursive base as (
  select t.oid as type_oid, t.oid as base_oid, t.typtype, t.typbasetype from pg_catalog.pg_type t
  where t.oid in (select a.atttypid from pg_catalog.pg_attribute a where a.attrelid = any ($1) and a.attnum > 0)
  union all
  select b.type_oid, t.oid, t.typtype, t.typbasetype from base b join pg_catalog.pg_type t on t.oid = b.typbasetype where b.typtype = 'd'
)
select c.oid::int8 as oid, n.nspname as schema, c.relname as name, c.relkind::text as kind, c.relispartition as is_partition,
  case when c.relkind <> 'p' then c.relreplident::text
       when (select bool_and(l.relreplident = 'f') from pg_catalog.pg_partition_tree(c.oid) t
             join pg_catalog.pg_class l on l.oid = t.relid where t.isleaf) then 'f'
       when c.relreplident <> 'f' then c.relreplident::text
       else 'd' end as replica_identity,
  coalesce((
    select json_agg(json_build_object(
      'name', a.attname, 'type_oid', a.atttypid::int8, 'type_name', own.typname, 'type_sql', format_type(t.oid, -1),
      'category', t.typcategory, 'collation', case when l.collname <> 'default' then quote_ident(ln.nspname) || '.' || quote_ident(l.collname) end,
      'integer', t.oid in (20, 21, 23), 'generated', a.attgenerated <> '',
      -- equal values of these types have equal output texts: bool, int8, int2, int4, oid, uuid, date, timestamp(tz), enums,
      -- and text, varchar under a deterministic collation
      'exact', t.oid in (16, 20, 21, 23, 26, 2950, 1082, 1114, 1184) or t.typtype = 'e' or (t.oid in (25, 1043) and coalesce(l.collisdeterministic, true))
    ) order by a.attnum)
    from pg_catalog.pg_attribute a
    join pg_catalog.pg_type own on own.oid = a.atttypid
    join base b on b.type_oid = a.atttypid and b.typtype <> 'd'
    join pg_catalog.pg_type t on t.oid = b.base_oid
    left join pg_catalog.pg_collation l on l.oid = a.attcollation
    left join pg_catalog.pg_namespace ln on ln.oid = l.collnamespace
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  ), '[]')::text as columns,
  array(select case when not a.attisdropped then a.attname::text end from pg_catalog.pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 order by a.attnum) as layout,
  coalesce(keyed.names, '{}') as key, coalesce(keyed.operators, '{}') as key_operators,
  coalesce(keyed.leakproof, false) as key_leakproof,
  -- ALTER TYPE … USING gives rows other keys, of which the log says nothing, but stores them anew.
  (with recursive stored as (
    select c.oid union all select i.inhrelid from stored join pg_catalog.pg_inherits i on i.inhparent = stored.oid
  )
  select string_agg(t.relfilenode::text, ' ' order by t.oid) from stored join pg_catalog.pg_class t on t.oid = stored.oid
  ) as storage
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
-- A key's values are equal by the operator of its index (strategy 3 of btree), wherever that is: citext and ltree bring their own.
left join lateral (
  select array_agg(a.attname::text order by k.place) as names,
    array_agg(coalesce(format('operator(%I.%s)', own.nspname, o.oprname), 'operator(pg_catalog.=)') order by k.place) as operators,
    bool_and(coalesce(p.proleakproof, false)) as leakproof
  from pg_catalog.pg_index i
  cross join lateral unnest(i.indkey::int2[], i.indclass::oid[]) with ordinality as k (attnum, opclass, place)
  join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
  join pg_catalog.pg_opclass oc on oc.oid = k.opclass
  left join pg_catalog.pg_amop member on member.amopfamily = oc.opcfamily and member.amopstrategy = 3
    and member.amoplefttype = oc.opcintype and member.amoprighttype = oc.opcintype
    and member.amopmethod = (select oid from pg_catalog.pg_am where amname = 'btree')
  left join pg_catalog.pg_operator o on o.oid = member.amopopr
  left join pg_catalog.pg_proc p on p.oid = o.oprcode
  left join pg_catalog.pg_namespace own on own.oid = o.oprnamespace
  where i.indrelid = c.oid and k.place <= i.indnkeyatts and i.indisvalid
    and case when c.relreplident = 'i' then i.indisreplident else i.indisprimary end
) as keyed on true
where c.oid = any ($1)
