-- How far private channels and broadcasts from the database are prepared. $1: the publication of the messages.
-- A function is ours when its comment says so, and then follows new versions; what is not ours is left as it is.
select
  n.oid is not null as schema_exists,
  c.oid is not null as table_exists,
  coalesce(obj_description(c.oid, 'pg_class') like 'realtime_inspector:%', false) as ours,
  coalesce(pg_has_role(coalesce(c.relowner, n.nspowner), 'USAGE'), true) as manageable,
  coalesce(c.relkind = 'p', false) as partitioned,
  coalesce(c.relrowsecurity, false) as row_security,
  array(
    select a.attname::text from pg_catalog.pg_attribute a
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by 1
  ) as columns,
  array(
    select n.nspname || '.' || p.proname from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where n.nspname = 'realtime' and p.proname in ('topic', 'ensure_partition', 'send', 'send_binary', 'broadcast_changes')
      and not coalesce(obj_description(p.oid, 'pg_proc') like 'realtime_inspector:%', false)
    order by 1
  ) as theirs,
  exists (
    select from pg_catalog.pg_publication_tables p
    where p.pubname = $1 and p.schemaname = 'realtime' and p.tablename = 'messages'
  ) as published,
  exists (select from pg_catalog.pg_publication p where p.pubname = $1) as publication_exists,
  exists (select from pg_catalog.pg_trigger t where t.tgrelid = c.oid and t.tgname = 'realtime_inspector_message') as noted,
  exists (
    select from pg_catalog.pg_class d
    where d.relnamespace = n.oid and d.relname = 'messages_' || to_char((now() at time zone 'utc')::date, 'YYYY_MM_DD')
  ) as today,
  (select count(*) from pg_catalog.pg_policy p where p.polrelid = c.oid)::int as policies
from (values ('realtime')) as named (schema)
left join pg_catalog.pg_namespace n on n.nspname = named.schema
left join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = 'messages'
