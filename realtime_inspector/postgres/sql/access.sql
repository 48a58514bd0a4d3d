-- What roles may read of relations now. $1: oids of relations, $2: names of roles. A role that does not exist gives no row.
-- columns: the readable ones as JSON, null for all of them.
-- reads_claims: false only when every function in the policies is an immutable built-in and no policy has a sub-select;
-- a function of the application counts as reading claims even if it is declared immutable.
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
  (c.relrowsecurity and exists (
    select from pg_catalog.pg_policy p
    where p.polrelid = c.oid and p.polcmd in ('r', '*') and (
      p.polqual::text ~ '\{SUBLINK'
      or exists (
        select from regexp_matches(p.polqual::text, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)', 'g') as used (ids)
        left join pg_catalog.pg_proc f on f.oid = used.ids[1]::oid
        where f.oid is null or f.provolatile <> 'i' or f.pronamespace <> 'pg_catalog'::regnamespace)))) as reads_claims
from pg_catalog.pg_class c cross join pg_catalog.pg_roles r
where c.oid = any ($1::text[]::oid[]) and r.rolname = any ($2::text[])
