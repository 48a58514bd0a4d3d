-- Entries of the trail as their hashes cover them: $1 action, $2 admin, $3 session, $4 since, $5 until (each null for all),
-- $6 only those after this number (null for all), $7 how many at most.
select id, to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') as at, action, admin_user_id, session_id::text,
  detail::text, ip_address, user_agent, hash
from realtime_inspector.audit_log
where ($1::text is null or action = $1) and ($2::text is null or admin_user_id = $2) and ($3::uuid is null or session_id = $3)
  and ($4::timestamptz is null or at >= $4) and ($5::timestamptz is null or at < $5) and ($6::bigint is null or id > $6)
order by id
limit $7
