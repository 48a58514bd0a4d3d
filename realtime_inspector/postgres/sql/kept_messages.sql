-- Messages that may not have been handed over, in the order of their insertion. $1: since when they are to be found by their time
-- alone, $2: since when by the mark of the slot $3, both seconds since 1970; $4, $5, $6: where the last page ended (inserted_at, table,
-- place in it); $7: how many at most. Newer than a minute ahead: a clock is wrong somewhere. A horizon ahead of all transactions is
-- of another database.
select m.id::text as id, m.topic, m.extension, m.event, m.payload::text as payload, m.binary_payload::text as binary_payload,
  case when m.private then 't' else 'f' end as private,
  m.inserted_at, m.tableoid::int8 as source, m.ctid::text as place
from realtime.messages m
cross join (select pg_snapshot_xmax(pg_current_snapshot())::text::int8 as next) as now
left join realtime_inspector.broadcast_marks mark on mark.slot = $3 and mark.horizon::text::int8 <= now.next
where m.extension = 'broadcast' and m.event is not null
  and m.inserted_at >= to_timestamp(case when mark.horizon is null then $1::float8 else $2::float8 end) at time zone 'utc'
  and m.inserted_at < (now() at time zone 'utc') + interval '1 minute'
  -- xmin has the low half of the number, also of a subtransaction, whose number is higher than its transaction's
  and now.next - ((now.next - m.xmin::text::int8) & 4294967295) >= coalesce(mark.horizon::text::int8, 0)
  and not m.id = any (coalesce(mark.recent, '{}'))
  and (m.inserted_at, m.tableoid, m.ctid) > ($4::timestamp, $5::int8::oid, $6::text::tid)
order by m.inserted_at, m.tableoid, m.ctid
limit $7
