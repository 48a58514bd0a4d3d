-- One page of the trail, newest first: as audit_entries.sql, but $6 limit, $7 offset; with the number of all that were chosen.
with chosen as (
  select * from realtime_inspector.audit_log
  where ($1::text is null or action = $1) and ($2::text is null or admin_user_id = $2) and ($3::uuid is null or session_id = $3)
    and ($4::timestamptz is null or at >= $4) and ($5::timestamptz is null or at < $5)
)
select page.id, to_char(page.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') as at, page.action, page.admin_user_id,
  page.session_id::text, page.detail::text, page.ip_address, page.user_agent, page.hash, counted.total
from (select count(*) as total from chosen) as counted
left join lateral (select * from chosen order by id desc limit $6 offset $7) as page on true
order by page.id desc
