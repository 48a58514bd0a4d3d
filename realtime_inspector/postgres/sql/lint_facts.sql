-- What lints judge, as one JSON. $1: schemas, $2: roles that subscribers may have and that policies apply to, $3: publication.
-- Tables: those of the schemas and the published ones, without those that belong to an extension. Runs with an empty search_path.
with roles as (
  select r.oid, r.rolname, r.rolsuper or r.rolbypassrls as bypasses from pg_catalog.pg_roles r where r.rolname = any ($2::text[])
),
published as (
  -- Postgres 14 has no column lists; before 18 the view has generated columns, and the log has not
  select c.oid, to_jsonb(p) -> 'attnames' as columns
  from pg_catalog.pg_publication_tables p
  join pg_catalog.pg_namespace n on n.nspname = p.schemaname
  join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = p.tablename
  where p.pubname = $3
),
relations as (
  select c.*, n.nspname
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname !~ '^(pg_|information_schema$)'
    and (n.nspname = any ($1::text[]) or c.oid in (select oid from published))
    and not exists (
      select from pg_catalog.pg_depend d
      where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
),
policies as (
  select p.oid, p.polrelid, p.polname, p.polpermissive, p.polroles, p.polcmd,
    pg_get_expr(p.polqual, p.polrelid) as qual, pg_get_expr(p.polwithcheck, p.polrelid) as wcheck,
    concat(p.polqual::text, ' ', p.polwithcheck::text) as nodes
  from pg_catalog.pg_policy p join relations on relations.oid = p.polrelid
),
called as (
  select policies.oid as policy, f.*
  from policies
  cross join regexp_matches(policies.nodes, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)', 'g') as named (ids)
  join pg_catalog.pg_proc f on f.oid = named.ids[1]::oid
),
read as (
  select distinct policies.oid as policy, policies.polrelid, t.oid, t.relname, tn.nspname, t.relrowsecurity, t.relkind
  from policies
  cross join regexp_matches(policies.nodes, ':relid ([1-9]\d*)', 'g') as named (ids)
  join pg_catalog.pg_class t on t.oid = named.ids[1]::oid
  join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace
)
select json_build_object(
  'roles', (select coalesce(json_object_agg(rolname, quote_ident(rolname)), '{}') from roles),
  'bypassing', (select coalesce(json_agg(rolname order by rolname), '[]') from roles where bypasses),
  'tables', (
    select coalesce(json_agg(json_build_object(
      'schema', c.nspname, 'name', c.relname, 'sql', format('%I.%I', c.nspname, c.relname), 'kind', c.relkind, 'rls', c.relrowsecurity, 'forced', c.relforcerowsecurity,
      'oid', c.oid::int8,
      'exposed', c.nspname = any ($1::text[]),
      'published', c.oid in (select oid from published),
      'replica_identity', c.relreplident, 'key_sql', coalesce(keyed.sql, ''),
      'keyed', c.relreplident = 'f' or (c.relreplident = 'i' and exists (
          select from pg_catalog.pg_index i where i.indrelid = c.oid and i.indisreplident and i.indisvalid))
        or (c.relreplident = 'd' and keyed.sql is not null),
      'root', (
        select json_build_object('sql', format('%I.%I', rn.nspname, root.relname), 'rls', root.relrowsecurity)
        from pg_catalog.pg_class root join pg_catalog.pg_namespace rn on rn.oid = root.relnamespace
        where c.relispartition and root.oid = pg_catalog.pg_partition_root(c.oid)),
      'readers', (
        select coalesce(json_agg(roles.rolname order by roles.rolname), '[]') from roles
        where has_schema_privilege(roles.oid, c.relnamespace, 'USAGE') and has_table_privilege(roles.oid, c.oid, 'SELECT')),
      'blind', (
        select coalesce(json_agg(roles.rolname order by roles.rolname), '[]') from roles
        where has_schema_privilege(roles.oid, c.relnamespace, 'USAGE') and has_any_column_privilege(roles.oid, c.oid, 'SELECT')
          and not has_table_privilege(roles.oid, c.oid, 'SELECT')
          and exists (select from unnest(keyed.numbers) as k (attnum) where not has_column_privilege(roles.oid, c.oid, k.attnum, 'SELECT'))),
      'owners', (
        select coalesce(json_agg(roles.rolname order by roles.rolname), '[]') from roles
        where pg_has_role(roles.oid, c.relowner, 'USAGE') and not roles.bypasses),
      'columns', (
        select coalesce(json_agg(a.attname order by a.attnum), '[]') from pg_catalog.pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
      'types', (
        select coalesce(json_agg(format_type(a.atttypid, a.atttypmod) order by a.attnum), '[]') from pg_catalog.pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
      'unlogged_columns', (
        select coalesce(json_agg(a.attname order by a.attnum), '[]') from pg_catalog.pg_attribute a
        left join published on published.oid = c.oid
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and published.oid is not null
          and (not coalesce(published.columns ? a.attname::text, true)
            or (a.attgenerated <> '' and current_setting('server_version_num')::int < 180000))),
      'invoker', coalesce(c.reloptions::text ~* 'security_invoker=(on|true|1|yes)', false),
      'underneath', (
        select coalesce(json_agg(distinct tn.nspname || '.' || t.relname), '[]')
        from pg_catalog.pg_rewrite w
        join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = w.oid
          and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid <> c.oid
        join pg_catalog.pg_class t on t.oid = d.refobjid
        join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace
        where w.ev_class = c.oid and c.relkind in ('v', 'm') and (t.relrowsecurity or (tn.nspname, t.relname) = ('auth', 'users')))
    ) order by c.nspname, c.relname), '[]')
    from relations c
    left join lateral (
      select string_agg(quote_ident(a.attname), ', ' order by k.place) as sql, array_agg(k.attnum) as numbers
      from pg_catalog.pg_index i
      cross join lateral unnest(i.indkey::int2[]) with ordinality as k (attnum, place)
      join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
      where i.indrelid = c.oid and i.indisprimary
    ) as keyed on true),
  'policies', (
    select coalesce(json_agg(json_build_object(
      'schema', c.nspname, 'table', c.relname, 'name', p.polname, 'sql', format('%I on %I.%I', p.polname, c.nspname, c.relname),
      'permissive', p.polpermissive,
      'command', case p.polcmd when 'r' then 'SELECT' when 'a' then 'INSERT' when 'w' then 'UPDATE' when 'd' then 'DELETE' else 'ALL' end,
      'roles', case when p.polroles = '{0}' then '["public"]'::json
                    else (select json_agg(n.rolname order by n.rolname) from pg_catalog.pg_roles n where n.oid = any (p.polroles)) end,
      'applies', (
        select coalesce(json_agg(roles.rolname order by roles.rolname), '[]') from roles
        where p.polroles = '{0}' or exists (
          select from unnest(p.polroles) as named (oid) where pg_has_role(roles.oid, named.oid, 'USAGE'))),
      'not_inherited', (
        select coalesce(json_agg(json_build_object('role', roles.rolname, 'of', n.rolname,
          'role_sql', quote_ident(roles.rolname), 'of_sql', quote_ident(n.rolname))), '[]')
        from roles cross join unnest(p.polroles) as named (oid) join pg_catalog.pg_roles n on n.oid = named.oid
        where pg_has_role(roles.oid, n.oid, 'MEMBER') and not pg_has_role(roles.oid, n.oid, 'USAGE')),
      'using', p.qual, 'check', p.wcheck,
      'columns', (
        select coalesce(json_agg(a.attname order by a.attnum), '[]') from pg_catalog.pg_attribute a
        where a.attrelid = p.polrelid and exists (
          select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_policy'::regclass and d.objid = p.oid
            and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = p.polrelid and d.refobjsubid = a.attnum)),
      'volatile', (
        select coalesce(json_agg(distinct n.nspname || '.' || f.proname), '[]')
        from called f join pg_catalog.pg_namespace n on n.oid = f.pronamespace where f.policy = p.oid and f.provolatile = 'v'),
      'unfixed', (
        select coalesce(json_agg(distinct f.oid::regprocedure::text), '[]') from called f
        where f.policy = p.oid and f.prosecdef and f.oid >= 16384
          and not exists (select from unnest(f.proconfig) as own (setting) where own.setting like 'search\_path=%')),
      'reads', (
        select coalesce(json_agg(json_build_object(
          'sql', format('%I.%I', t.nspname, t.relname), 'rls', t.relrowsecurity,
          'denied', (
            select coalesce(json_agg(roles.rolname order by roles.rolname), '[]') from roles
            where not has_any_column_privilege(roles.oid, t.oid, 'SELECT')
              or not has_schema_privilege(roles.oid, (select relnamespace from pg_catalog.pg_class where oid = t.oid), 'USAGE')),
          'hidden', (
            select coalesce(json_agg(roles.rolname order by roles.rolname), '[]') from roles
            where t.relrowsecurity and has_any_column_privilege(roles.oid, t.oid, 'SELECT') and not roles.bypasses
              and not exists (
                select from pg_catalog.pg_policy other
                where other.polrelid = t.oid and other.polcmd in ('r', '*') and other.polpermissive
                  and (other.polroles = '{0}' or exists (
                    select from unnest(other.polroles) as named (oid) where pg_has_role(roles.oid, named.oid, 'USAGE')))))
        ) order by t.nspname, t.relname), '[]')
        from read t where t.policy = p.oid and t.oid <> p.polrelid)
    ) order by c.nspname, c.relname, p.polname), '[]')
    from policies p join relations c on c.oid = p.polrelid)
)::text
