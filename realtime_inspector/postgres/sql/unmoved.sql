-- Whether tables are still as they were described. $1: their names, quoted and with their schemas; $2: what was known of each, as
-- visibility.facts.Shape.signature writes it. A name may be another table's now, a column's name another column's, a root a partition.
select coalesce(not c.relispartition and known.signature = concat_ws(E'\n', c.oid,
  (select string_agg(format('%s %s', a.attname, a.atttypid), E'\n' order by a.attnum)
   from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
  '',
  (select string_agg(a.attname, E'\n' order by k.place)
   from pg_catalog.pg_index i
   cross join lateral unnest(i.indkey::int2[]) with ordinality as k (attnum, place)
   join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
   where i.indrelid = c.oid and k.place <= i.indnkeyatts and i.indisvalid
     and case when c.relreplident = 'i' then i.indisreplident else i.indisprimary end)), false)
from unnest($1::text[], $2::text[]) with ordinality as known (name, signature, place)
left join pg_catalog.pg_class c on c.oid = to_regclass(known.name)
order by known.place
