-- What roles may read of relations now. $1: oids of relations, $2: names of roles. A role that does not exist gives no row.
-- columns: the readable ones as JSON, null for all of them.
-- version: of everything that dependence.sql looks at, null where row-level security is off. Policies and functions count with the
-- transaction that wrote them; which ones there are is known to pg_depend, so that no expression has to be looked into.
with recursive asked as (
  select c.oid, r.oid as role, c.relrowsecurity
  from pg_catalog.pg_class c cross join pg_catalog.pg_roles r
  where c.oid = any ($1::text[]::oid[]) and r.rolname = any ($2::text[])
),
applies (role, policy, relation, written) as not materialized (
  select r.oid, p.oid, p.polrelid, p.xmin
  from pg_catalog.pg_policy p cross join pg_catalog.pg_roles r
  where r.rolname = any ($2::text[]) and p.polcmd in ('r', '*')
    and (p.polroles = '{0}' or exists (select from unnest(p.polroles) as named (oid) where pg_has_role(r.oid, named.oid, 'USAGE')))
),
reached (root, role, relation) as (
  select oid, role, oid from asked where relrowsecurity
  union
  select reached.root, reached.role, d.refobjid
  from reached
  join applies on applies.relation = reached.relation and applies.role = reached.role
  join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_policy'::regclass and d.objid = applies.policy
    and d.refclassid = 'pg_catalog.pg_class'::regclass
),
versions as (
  select reached.root, reached.role,
    string_agg(distinct concat(applies.policy, ':', applies.written, ' ' || f.oid || ':' || f.xmin), ',') as version
  from reached
  left join applies on applies.relation = reached.relation and applies.role = reached.role
  left join (
    pg_catalog.pg_depend d join pg_catalog.pg_proc f on d.refclassid = 'pg_catalog.pg_proc'::regclass and f.oid = d.refobjid
  ) on d.classid = 'pg_catalog.pg_policy'::regclass and d.objid = applies.policy
  group by reached.root, reached.role
)
select c.oid::int8 as oid, r.rolname::text as role,
  (r.rolsuper or r.rolbypassrls) as bypasses,
  (c.relrowsecurity and not r.rolsuper and not r.rolbypassrls
    and (c.relforcerowsecurity or not pg_has_role(r.oid, c.relowner, 'USAGE'))) as checked,
  case when not has_schema_privilege(r.oid, c.relnamespace, 'USAGE') then '[]'
       when has_table_privilege(r.oid, c.oid, 'SELECT') then null
       else array_to_json(array(
         select a.attname::text from pg_catalog.pg_attribute a
         where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and has_column_privilege(r.oid, c.oid, a.attnum, 'SELECT')))
  end as columns,
  versions.version || ';' || (
    select string_agg(a.attname, ',' order by a.attnum) from pg_catalog.pg_attribute a
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)
  || case when {shadowed} then ';shadowed' else '' end as version
from pg_catalog.pg_class c
cross join pg_catalog.pg_roles r
left join versions on versions.root = c.oid and versions.role = r.oid
where c.oid = any ($1::text[]::oid[]) and r.rolname = any ($2::text[])
