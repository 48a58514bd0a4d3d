-- What the answers of the policies on realtime.messages depend on, apart from data: they themselves, who they are for, rights,
-- roles, memberships, and every function that could be called. Another text: something of it changed.
select concat_ws(' ',
  (select string_agg(p::text, ' ' order by p.oid) from pg_catalog.pg_policy p where p.polrelid = c.oid),
  c.relowner, c.relacl::text, c.relrowsecurity, c.relforcerowsecurity,
  (select n.nspacl::text from pg_catalog.pg_namespace n where n.oid = c.relnamespace),
  (select string_agg(a.attacl::text, ' ' order by a.attnum) from pg_catalog.pg_attribute a where a.attrelid = c.oid),
  (select sum(hashtext(concat_ws(' ', r.oid, r.rolsuper, r.rolinherit, r.rolbypassrls))::int8) from pg_catalog.pg_roles r),
  (select sum(hashtext(m::text)::int8) from pg_catalog.pg_auth_members m),
  (select sum(hashtext(p.oid::text || ' ' || p.xmin::text)::int8) from pg_catalog.pg_proc p where p.oid >= 16384)
)
from pg_catalog.pg_class c
where c.oid = to_regclass('realtime.messages')
