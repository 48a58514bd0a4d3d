-- Every type of the database, as replication.values.build_catalog takes it:
-- oid, name, kind, element, delimiter, field_names, field_types.
select
  t.oid::pg_catalog.int8,
  t.typname::pg_catalog.text,
  case
    when t.typtype = 'd' then 'domain'
    when t.typtype = 'e' then 'enum'
    when t.typtype = 'c' then 'composite'
    when t.typtype in ('r', 'm') then 'range'
    when e.oid is not null then 'array'
    else 'base'
  end,
  coalesce(e.oid, t.typbasetype)::pg_catalog.int8,
  coalesce(e.typdelim, ',')::pg_catalog.text,
  a.names,
  a.types
from pg_catalog.pg_type t
-- "True" arrays only: point, name and others can be subscripted too, but are written differently.
left join pg_catalog.pg_type e
  on e.oid = t.typelem and t.typsubscript = 'pg_catalog.array_subscript_handler'::pg_catalog.regproc
left join (
  select
    attrelid,
    pg_catalog.array_agg(attname::pg_catalog.text order by attnum) as names,
    pg_catalog.array_agg(atttypid::pg_catalog.int8 order by attnum) as types
  from pg_catalog.pg_attribute
  where attnum > 0 and not attisdropped
  group by attrelid
) a on a.attrelid = t.typrelid
