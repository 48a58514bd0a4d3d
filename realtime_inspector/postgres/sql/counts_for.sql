-- Whether a policy for the roles $2 would be asked for the role $1: public, or any whose privileges it has.
select 'public' = any ($2::text[]) or exists (
  select from pg_catalog.pg_roles r cross join pg_catalog.pg_roles named
  where r.rolname = $1::text and named.rolname = any ($2::text[]) and pg_has_role(r.oid, named.oid, 'USAGE'))
