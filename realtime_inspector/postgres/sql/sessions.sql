-- Recorded sessions, newest first: $1 admin, $2 target, $3 type, $4 whether still running (each null for all), $5 limit, $6 offset.
-- With each, what the trail says was seen under it.
with chosen as (
  select * from realtime_inspector.impersonation_sessions
  where ($1::text is null or admin_user_id = $1)
    and ($2::text is null or target_user_id = $2)
    and ($3::text is null or impersonation_type = $3)
    and ($4::boolean is null or (ended_at is null and expires_at > now()) = $4)
)
select page.*, seen.*, counted.total
from (select count(*) as total from chosen) as counted
left join lateral (select * from chosen order by started_at desc, id limit $5 offset $6) as page on true
left join lateral (
  select coalesce(sum((detail ->> 'delivered')::bigint) filter (where action = 'seen'), 0)::bigint as delivered,
    coalesce(sum((detail ->> 'denied')::bigint) filter (where action = 'seen'), 0)::bigint as denied,
    count(*) filter (where action in ('sql', 'table')) as queries,
    count(*) filter (where action = 'trace') as traces
  from realtime_inspector.audit_log where session_id = page.id
) as seen on true
order by page.started_at desc, page.id
