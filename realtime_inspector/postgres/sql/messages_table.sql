-- The messages of private channels and of the database, as Supabase Realtime keeps them. Runs only where there is no such table.
create table realtime.messages (
  topic text not null,
  extension text not null,
  payload jsonb,
  event text,
  private boolean default false,
  -- UTC, whatever the session's time zone is: the partitions are days of UTC
  updated_at timestamp not null default (now() at time zone 'utc'),
  inserted_at timestamp not null default (clock_timestamp() at time zone 'utc'),
  id uuid not null default gen_random_uuid(),
  binary_payload bytea,
  primary key (id, inserted_at),
  constraint messages_payload_exclusive check (payload is null or binary_payload is null)
) partition by range (inserted_at);
comment on table realtime.messages is
  'realtime_inspector: what was broadcast from the database. Its policies say who may use private channels: SELECT to receive, INSERT to send.';
create index messages_inserted_at_topic_index on realtime.messages (inserted_at desc, topic)
  where extension = 'broadcast' and private is true;
alter table realtime.messages enable row level security;
-- Default privileges may have opened it further.
revoke all on realtime.messages from public;
