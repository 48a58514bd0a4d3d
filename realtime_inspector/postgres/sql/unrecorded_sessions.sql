-- Sessions that are not what the entry of their start says, that have no such entry, or that are gone; with the entry's number.
-- Entries from before there was a chain hold no digest of the claims and no expiry.
select coalesce(l.session_id, s.id)::text as session_id, l.id
from realtime_inspector.impersonation_sessions s
full join (select * from realtime_inspector.audit_log where action = 'started') l on l.session_id = s.id
where s.id is null or l.id is null or s.admin_user_id is distinct from l.admin_user_id
  or s.target_user_id is distinct from l.detail ->> 'target' or s.target_role is distinct from l.detail ->> 'role'
  or s.impersonation_type is distinct from l.detail ->> 'type' or s.reason is distinct from l.detail ->> 'reason'
  or (l.detail ? 'claims_sha256' and (
    encode(sha256(convert_to(s.claims::text, 'UTF8')), 'hex') <> l.detail ->> 'claims_sha256'
    or extract(epoch from s.expires_at)::bigint <> (l.detail ->> 'expires_at')::bigint
  ))
  or (s.ended_at is not null and not exists (
    select from realtime_inspector.audit_log e where e.session_id = s.id and e.action = s.end_reason
  ))
order by l.id
limit 1
