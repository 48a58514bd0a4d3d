-- What of our own schema is not there, or not usable by the reader. $1: the reader's name.
select 'table ' || wanted.name as missing
from unnest(array['realtime_inspector.impersonation_sessions', 'realtime_inspector.audit_log']) as wanted (name)
where not coalesce(has_schema_privilege($1::name, to_regnamespace('realtime_inspector')::oid, 'USAGE'), false)
  or not coalesce(has_table_privilege($1::name, to_regclass(wanted.name), 'SELECT'), false)
union all
select 'function ' || p.oid::regprocedure::text
from pg_catalog.pg_proc p
where p.pronamespace = to_regnamespace('realtime_inspector') and not has_function_privilege($1::name, p.oid, 'EXECUTE')
order by 1
