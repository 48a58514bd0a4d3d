-- Where `init` finds itself, and in which databases of this cluster the logins hold rights. $1: text[] of the logins' names.
-- Roles belong to the whole cluster: pg_shdepend tells who uses them (dbid 0: rights on the shared object itself, here a database).
with used as (
  select case when s.dbid = 0 then s.objid else s.dbid end as database
  from pg_catalog.pg_shdepend s
  join pg_catalog.pg_roles r on r.oid = s.refobjid and r.rolname = any ($1)
  where s.refclassid = 'pg_catalog.pg_authid'::regclass
    and (s.dbid <> 0 or s.classid = 'pg_catalog.pg_database'::regclass)
)
select current_setting('server_version_num')::int as version, current_setting('server_version') as version_text,
  d.datname::text as database, d.oid::int8 as database_oid, current_user::text as admin,
  exists (select from used where used.database = d.oid) as used_here,
  exists (select from used where used.database <> d.oid) as used_elsewhere
from pg_catalog.pg_database d
where d.datname = current_database()
