-- Messages since a time, in the order of their insertion. $1: seconds since 1970; $2, $3, $4: where the last page ended (inserted_at,
-- table, place in it); $5: how many at most. Newer than a minute ahead: a clock is wrong somewhere.
select m.id::text as id, m.topic, m.extension, m.event, m.payload::text as payload, m.binary_payload::text as binary_payload,
  case when m.private then 't' else 'f' end as private,
  m.inserted_at, m.tableoid::int8 as source, m.ctid::text as place
from realtime.messages m
where m.extension = 'broadcast' and m.event is not null
  and m.inserted_at >= to_timestamp($1::float8) at time zone 'utc'
  and m.inserted_at < (now() at time zone 'utc') + interval '1 minute'
  and (m.inserted_at, m.tableoid, m.ctid) > ($2::timestamp, $3::int8::oid, $4::text::tid)
order by m.inserted_at, m.tableoid, m.ctid
limit $5
