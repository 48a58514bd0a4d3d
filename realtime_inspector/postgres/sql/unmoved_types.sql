-- Whether composite types still have the fields that were known. $1: oids; $2: of each, its fields as replication.values writes them.
select coalesce(bool_and(known.fields = coalesce(
  (select string_agg(format('%s %s', a.attname, a.atttypid), E'\n' order by a.attnum)
   from pg_catalog.pg_type t
   join pg_catalog.pg_attribute a on a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
   where t.oid = known.oid), '')), true)
from unnest($1::oid[], $2::text[]) as known (oid, fields)
