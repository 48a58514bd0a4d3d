-- Recorded sessions, newest first: $1 admin, $2 target, $3 type, $4 whether still running (each null for all), $5 limit, $6 offset.
with chosen as (
  select * from realtime_inspector.impersonation_sessions
  where ($1::text is null or admin_user_id = $1)
    and ($2::text is null or target_user_id = $2)
    and ($3::text is null or impersonation_type = $3)
    and ($4::boolean is null or (ended_at is null and expires_at > now()) = $4)
)
select page.*, counted.total
from (select count(*) as total from chosen) as counted
left join lateral (select * from chosen order by started_at desc, id limit $5 offset $6) as page on true
order by page.started_at desc, page.id
