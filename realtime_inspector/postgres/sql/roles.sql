-- Attributes and direct memberships of roles. $1: text[] of names. A role that does not exist gives no row.
-- A membership has options of its own since Postgres 16: before, `inherit` is null (the member's attribute decides) and SET is allowed.
select r.rolname::text as name, quote_ident(r.rolname) as sql, r.rolcanlogin as login, r.rolsuper as superuser, r.rolbypassrls as bypassrls,
  r.rolreplication as replication, r.rolinherit as inherit, r.rolcreaterole as createrole, r.rolcreatedb as createdb,
  coalesce((
    select json_agg(json_build_object(
      'role', g.rolname, 'sql', quote_ident(g.rolname), 'grantor', w.rolname, 'admin', m.admin_option,
      'inherit', (to_jsonb(m) ->> 'inherit_option')::boolean,
      'set', coalesce((to_jsonb(m) ->> 'set_option')::boolean, true)
    ) order by g.rolname, w.rolname)
    from pg_catalog.pg_auth_members m
    join pg_catalog.pg_roles g on g.oid = m.roleid
    join pg_catalog.pg_roles w on w.oid = m.grantor
    where m.member = r.oid
  ), '[]')::text as memberships
from pg_catalog.pg_roles r
where r.rolname = any ($1)
order by r.rolname
