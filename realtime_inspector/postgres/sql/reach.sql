-- The powerful roles that a login could become through its memberships, directly or not. $1: its name.
with recursive reach as (
  select m.roleid from pg_catalog.pg_auth_members m join pg_catalog.pg_roles r on r.oid = m.member where r.rolname = $1
  union
  select m.roleid from pg_catalog.pg_auth_members m join reach on reach.roleid = m.member
)
select r.rolname::text as name
from reach join pg_catalog.pg_roles r on r.oid = reach.roleid
where r.rolsuper or r.rolbypassrls or r.rolreplication
order by r.rolname
