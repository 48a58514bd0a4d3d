-- Makes the partition of realtime.messages for the running day (UTC) if it is missing, so that no message is lost for want of it.
-- Anybody may call it: it can do nothing else.
create or replace function realtime.ensure_partition() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform realtime_inspector.make_partition((now() at time zone 'utc')::date);
end
$$;
comment on function realtime.ensure_partition() is 'realtime_inspector: makes the partition of the running day.';
