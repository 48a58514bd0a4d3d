-- The SELECT policies that apply to roles, as expressions over a tuple. $1: oid of the relation, $2: text[] of roles.
-- Runs with an empty search_path, so that pg_get_expr qualifies every name. `repeatable`: no volatile function and no look at the
-- policy's own table, whose row is already gone; only then may the expression be asked about an old row.
select r.rolname::text as role, p.polpermissive as permissive, pg_get_expr(p.polqual, p.polrelid) as expression,
  not exists (
    select from regexp_matches(p.polqual::text, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)', 'g') as used (ids)
    left join pg_catalog.pg_proc f on f.oid = used.ids[1]::oid where f.oid is null or f.provolatile = 'v')
  and p.polqual::text !~ (':relid ' || p.polrelid || '\M') as repeatable
from pg_catalog.pg_policy p
join pg_catalog.pg_roles r on r.rolname = any ($2)
where p.polrelid = $1 and p.polcmd in ('r', '*')
  and (p.polroles = '{0}' or exists (select from unnest(p.polroles) as named (oid) where pg_has_role(r.oid, named.oid, 'USAGE')))
order by r.rolname, p.polpermissive, p.polname
