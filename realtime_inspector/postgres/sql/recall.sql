-- The newest messages of a private channel. $1: its name, $2: since when, milliseconds since 1970, $3: how many at most.
-- Newer than a minute ahead: a clock is wrong somewhere.
select m.id::text as id, m.event, m.payload::text as payload, m.binary_payload
from realtime.messages m
left join realtime_inspector.expiring_messages e on e.id = m.id
where m.topic = $1 and m.private is true and m.extension = 'broadcast'
  and m.inserted_at >= to_timestamp($2::float8 / 1000) at time zone 'utc'
  and m.inserted_at < (now() at time zone 'utc') + interval '1 minute'
  and m.event is not null and (m.payload is not null or m.binary_payload is not null)
  and (e.expires_at is null or e.expires_at > now())
-- messages of one transaction may share the time: where they stand tells their order
order by m.inserted_at desc, m.tableoid desc, m.ctid desc
limit $3
