-- Where triggers are the source: notes each message, and wakes whoever listens. Rows without an event are sent to nobody.
create or replace function realtime_inspector.note_message() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into realtime_inspector.sent_messages (id, inserted_at) values (new.id, new.inserted_at);
  perform pg_catalog.pg_notify('realtime_inspector', 'messages');
  return null;
end
$$;
revoke all on function realtime_inspector.note_message() from public;
create or replace trigger realtime_inspector_message after insert on realtime.messages
  for each row when (new.extension = 'broadcast' and new.event is not null)
  execute function realtime_inspector.note_message();
