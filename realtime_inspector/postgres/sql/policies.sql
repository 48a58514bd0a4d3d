-- The SELECT policies that apply to roles, as expressions over a tuple. $1: oid of the relation, $2: text[] of roles.
-- Runs with an empty search_path, so that pg_get_expr qualifies every name. `repeatable`: no volatile function and no look at the
-- policy's own table or its partitions, whose row is already gone; only then may the expression be asked about an old row.
-- `timeless`: nothing but the row and the claims decides, so that the answer now is the answer then. A function of the application
-- counts if its text reads settings and does nothing else, as auth.uid() does; what is not plain enough to tell does not count.
with functions as (
  select f.oid, f.provolatile = 'v' as volatile,
    f.pronamespace = 'pg_catalog'::regnamespace or (
      l.lanname in ('sql', 'plpgsql') and f.prosrc <> '' and f.prosrc !~ '"'
      and f.prosrc !~* '\m(from|join|table|into|using|execute|perform|call|copy|fetch|open)\M'
      and not exists (
        select from regexp_matches(lower(f.prosrc), '([a-z0-9_$.]+)\s*\(', 'g') as called (name)
        where called.name[1] not in ('coalesce', 'nullif', 'current_setting', 'select', 'and', 'or', 'not', 'in', 'then', 'else'))
    ) as timeless
  from pg_catalog.pg_proc f join pg_catalog.pg_language l on l.oid = f.prolang
)
select r.rolname::text as role, p.polpermissive as permissive, pg_get_expr(p.polqual, p.polrelid) as expression,
  not used.volatile and p.polqual::text !~ (':relid ' || p.polrelid || '\M') and not exists (
    select from pg_catalog.pg_partition_tree(p.polrelid) t where p.polqual::text ~ (':relid ' || t.relid::oid || '\M')
  ) as repeatable,
  used.timeless and p.polqual::text !~ ':relid [1-9]' as timeless
from pg_catalog.pg_policy p
join pg_catalog.pg_roles r on r.rolname = any ($2)
cross join lateral (
  select coalesce(bool_or(f.volatile is not false), false) as volatile, coalesce(bool_and(f.timeless is true), true) as timeless
  from regexp_matches(p.polqual::text, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)', 'g') as named (ids)
  left join functions f on f.oid = named.ids[1]::oid
) as used
where p.polrelid = $1 and p.polcmd in ('r', '*')
  and (p.polroles = '{0}' or exists (select from unnest(p.polroles) as named (oid) where pg_has_role(r.oid, named.oid, 'USAGE')))
order by r.rolname, p.polpermissive, p.polname
