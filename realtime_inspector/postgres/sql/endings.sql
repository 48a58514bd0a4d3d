-- What has ended while tokens of it live: impersonations, sign-ins that were logged out, and admins who were revoked for good.
select 'session' as kind, id::text as name, extract(epoch from expires_at)::float8 as until
from realtime_inspector.impersonation_sessions
where ended_at is not null and expires_at > now() - interval '1 minute'
union all
select 'login', detail ->> 'login', (detail ->> 'expires_at')::float8
from realtime_inspector.audit_log
where action = 'logout' and detail ? 'login' and (detail ->> 'expires_at')::float8 > extract(epoch from now())
union all
(
  select 'admin', name, null from (
    select distinct on (detail ->> 'admin') detail ->> 'admin' as name, action
    from realtime_inspector.audit_log
    where action in ('admin_revoked', 'admin_reinstated')
    order by detail ->> 'admin', id desc
  ) as newest
  where action = 'admin_revoked'
)
