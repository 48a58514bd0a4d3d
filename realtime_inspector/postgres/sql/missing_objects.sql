-- What of our own schema is not there, or not usable by the reader. $1: the reader's name.
select 'table ' || wanted.name as missing
from (
  values
    ('realtime_inspector.impersonation_sessions', array['SELECT']),
    ('realtime_inspector.audit_log', array['SELECT']),
    ('realtime_inspector.audit_head', array['SELECT']),
    ('realtime_inspector.slots', array['SELECT', 'INSERT', 'UPDATE'])
) as wanted (name, privileges)
where not coalesce(has_schema_privilege($1::name, to_regnamespace('realtime_inspector')::oid, 'USAGE'), false)
  or exists (
    select from unnest(wanted.privileges) as needed (privilege)
    where not coalesce(has_table_privilege($1::name, to_regclass(wanted.name), needed.privilege), false)
  )
union all
select 'function ' || p.oid::regprocedure::text
from pg_catalog.pg_proc p
where p.pronamespace = to_regnamespace('realtime_inspector') and not has_function_privilege($1::name, p.oid, 'EXECUTE')
order by 1
