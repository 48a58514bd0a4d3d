-- What decides whether a role sees rows of a relation, as one JSON. $1: oid of the relation, $2: name of the role.
-- Runs with an empty search_path, so that pg_get_expr qualifies every name. Null where relation or role do not exist.
-- A policy's node tree tells what pg_depend does not: built-in volatile functions, whole rows and system columns.
select json_build_object(
  'owner', owner.rolname, 'row_security', c.relrowsecurity, 'forced', c.relforcerowsecurity,
  'superuser', r.rolsuper, 'bypassrls', r.rolbypassrls,
  'owns', pg_has_role(r.oid, c.relowner, 'USAGE'),
  'schema_usage', has_schema_privilege(r.oid, c.relnamespace, 'USAGE'),
  'privileges', (
    select json_object_agg(kind, has_any_column_privilege(r.oid, c.oid, kind))
    from unnest(array['SELECT', 'INSERT', 'UPDATE']) as named (kind)),
  'deletes', has_table_privilege(r.oid, c.oid, 'DELETE'),
  'whole_table', has_table_privilege(r.oid, c.oid, 'SELECT'),
  'columns_denied', (
    select coalesce(json_agg(a.attname order by a.attnum), '[]') from pg_catalog.pg_attribute a
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and not has_column_privilege(r.oid, c.oid, a.attnum, 'SELECT')),
  'columns', (
    select json_agg(a.attname order by a.attnum) from pg_catalog.pg_attribute a
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
  'generated', (
    select coalesce(json_object_agg(a.attname, pg_get_expr(d.adbin, d.adrelid)), '{}')
    from pg_catalog.pg_attribute a
    join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated <> ''),
  'policies', (
    select coalesce(json_agg(json_build_object(
      'name', p.polname, 'permissive', p.polpermissive,
      'command', case p.polcmd when 'r' then 'SELECT' when 'a' then 'INSERT' when 'w' then 'UPDATE' when 'd' then 'DELETE' else 'ALL' end,
      'roles', case when p.polroles = '{0}' then '["public"]'::json
                    else (select json_agg(n.rolname order by n.rolname) from pg_catalog.pg_roles n where n.oid = any (p.polroles)) end,
      'member', p.polroles = '{0}'
        or exists (select from unnest(p.polroles) as named (oid) where pg_has_role(r.oid, named.oid, 'USAGE')),
      'not_inherited', exists (
        select from unnest(p.polroles) as named (oid)
        where named.oid <> 0 and pg_has_role(r.oid, named.oid, 'MEMBER') and not pg_has_role(r.oid, named.oid, 'USAGE')),
      'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid),
      'volatile', exists (select from pg_catalog.pg_proc f where f.oid = any (called.functions) and f.provolatile = 'v'),
      'functions', (
        select coalesce(json_agg(distinct n.nspname || '.' || f.proname), '[]')
        from pg_catalog.pg_proc f join pg_catalog.pg_namespace n on n.oid = f.pronamespace
        where f.oid = any (called.functions) and f.oid >= 16384),
      'tables', (
        select coalesce(json_agg(distinct n.nspname || '.' || t.relname), '[]')
        from pg_catalog.pg_class t join pg_catalog.pg_namespace n on n.oid = t.relnamespace where t.oid = any (looked.relations)),
      'whole_row', p.polqual::text ~ ':varattno 0 ',
      'system_columns', p.polqual::text ~ ':varattno -'
    ) order by p.polname), '[]')
    from pg_catalog.pg_policy p
    cross join lateral (
      select array_agg(named.ids[1]::oid) as functions
      from regexp_matches(concat(p.polqual::text, p.polwithcheck::text), ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)', 'g') as named (ids)
    ) as called
    cross join lateral (
      select array_agg(named.ids[1]::oid) as relations
      from regexp_matches(concat(p.polqual::text, p.polwithcheck::text), ':relid ([1-9]\d*)', 'g') as named (ids)
    ) as looked
    where p.polrelid = c.oid)
)::text
from pg_catalog.pg_class c
join pg_catalog.pg_roles owner on owner.oid = c.relowner
cross join pg_catalog.pg_roles r
where c.oid = $1::text::oid and r.rolname = $2::text
