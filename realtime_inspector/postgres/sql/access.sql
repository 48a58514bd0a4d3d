-- What roles may read of relations now. $1: oids of relations, $2: names of roles. A role that does not exist gives no row.
-- columns: the readable ones as JSON, null for all of them.
-- reads_claims: false only when every function in the policies is an immutable built-in and no policy has a sub-select, a comparison
-- of rows or a cast to a domain, which run functions that the policy does not name. A function of the application counts as reading
-- claims even if it is declared immutable; `folds` says that there is one, because its result would become part of a plan.
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
  (c.relrowsecurity and policies.read_claims) as reads_claims,
  (c.relrowsecurity and policies.fold) as folds
from pg_catalog.pg_class c cross join pg_catalog.pg_roles r
cross join lateral (
  select coalesce(bool_or(used.fold), false) as fold,
    coalesce(bool_or(used.functions <> used.constant or p.polqual::text ~ '\{(SUBLINK|ROWCOMPARE|COERCETODOMAIN) '), false) as read_claims
  from pg_catalog.pg_policy p
  cross join lateral (
    select count(*) as functions,
      count(*) filter (where f.provolatile = 'i' and f.pronamespace = 'pg_catalog'::regnamespace) as constant,
      bool_or(f.provolatile = 'i' and f.pronamespace <> 'pg_catalog'::regnamespace) as fold
    from regexp_matches(p.polqual::text, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)', 'g') as named (ids)
    left join pg_catalog.pg_proc f on f.oid = named.ids[1]::oid
  ) as used
  where p.polrelid = c.oid and p.polcmd in ('r', '*')
) as policies
where c.oid = any ($1::text[]::oid[]) and r.rolname = any ($2::text[])
