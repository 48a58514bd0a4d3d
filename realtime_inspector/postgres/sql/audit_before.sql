-- The entry before the one with the hash $1 (hexadecimal): nulls where that is the first one, no row where there is none.
select earlier.id, earlier.hash
from (select min(id) as id from realtime_inspector.audit_log where encode(hash, 'hex') = $1) as kept
left join lateral (
  select id, hash from realtime_inspector.audit_log where audit_log.id < kept.id order by id desc limit 1
) as earlier on true
where kept.id is not null
