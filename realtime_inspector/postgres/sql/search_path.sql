-- The schemas of a search path, and who may create objects in them. $1: text[] of names, $2: text[] of roles.
select wanted.name, quote_ident(wanted.name) as sql, n.oid is not null as exists,
  array(
    select quote_ident(r.rolname) from pg_catalog.pg_roles r
    where r.rolname = any ($2) and has_schema_privilege(r.oid, n.oid, 'CREATE')
    order by r.rolname
  ) as writers
from unnest($1::text[]) with ordinality as wanted (name, place)
left join pg_catalog.pg_namespace n on n.nspname = wanted.name
order by wanted.place
