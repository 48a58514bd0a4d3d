-- Messages that one snapshot shows and an earlier one does not, as they were sent. $1: the earlier one, $2: the later one, $3: after
-- which place, $4: how many at most.
select s.place, m.id::text as id, m.topic, m.extension, m.event, m.payload::text as payload, m.binary_payload::text as binary_payload,
  case when m.private then 't' else 'f' end as private
from realtime_inspector.sent_messages s
join realtime.messages m on m.id = s.id and m.inserted_at = s.inserted_at
where s.transaction >= pg_snapshot_xmin($1::text::pg_snapshot)
  and not pg_visible_in_snapshot(s.transaction, $1::text::pg_snapshot)
  and pg_visible_in_snapshot(s.transaction, $2::text::pg_snapshot)
  and s.place > $3
order by s.place
limit $4
