-- The relation of a name with what the subscriber's role may do there. $1: schema, $2: table, $3: role, $4: publication.
-- readable: the role may SELECT something of it, so that it may be told what kind of relation it is.
select c.oid::int8 as oid, r.oid is not null as role_exists,
  r.oid is not null and has_schema_privilege(r.oid, n.oid, 'USAGE') and has_any_column_privilege(r.oid, c.oid, 'SELECT') as readable,
  exists (
    select from pg_catalog.pg_publication_tables p
    join pg_catalog.pg_namespace s on s.nspname = p.schemaname
    join pg_catalog.pg_class t on t.relnamespace = s.oid and t.relname = p.tablename
    -- a publication has the root or its partitions, as it was told; who names another one of them is told whom to name
    where p.pubname = $4 and t.oid in (
      select c.oid
      union all select relid::oid from pg_catalog.pg_partition_tree(c.oid)
      union all select relid::oid from pg_catalog.pg_partition_ancestors(c.oid))
  ) as published
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_roles r on r.rolname = $3
where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p', 'v', 'm', 'f')
