-- Which columns of a table the current role may read, quoted and in order; null when none. No row: no such table. $1 schema, $2 name.
select (
  select pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' order by a.attnum)
  from pg_catalog.pg_attribute a
  where a.attrelid = c.oid and a.attnum operator(pg_catalog.>) 0 and not a.attisdropped
    and pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT')
)
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1::pg_catalog.text and c.relname = $2::pg_catalog.text and c.relkind in ('r', 'p', 'v', 'm', 'f')
