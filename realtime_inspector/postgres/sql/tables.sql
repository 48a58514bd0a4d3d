-- What a publication must know about tables. $1: oid[]. identified: UPDATE and DELETE can be written to the log.
select c.oid::int8 as oid, n.nspname::text as schema, c.relname::text as name, format('%I.%I', n.nspname, c.relname) as sql,
  c.relkind::text as kind, c.relreplident::text as replica_identity, c.relrowsecurity as row_security,
  exists (select from pg_catalog.pg_index i where i.indrelid = c.oid and i.indisprimary and i.indisvalid) as primary_key,
  case c.relreplident
    when 'f' then true
    when 'n' then false
    else exists (select from pg_catalog.pg_index i where i.indrelid = c.oid and i.indisvalid
                 and case when c.relreplident = 'i' then i.indisreplident else i.indisprimary end)
  end as identified
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.oid = any ($1)
order by n.nspname, c.relname
