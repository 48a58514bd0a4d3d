-- Broadcasts a JSON message to the channel of that name once the transaction commits. What fails is told as a warning and breaks
-- nothing, as in Supabase; where the day's partition is missing, it is made.
create or replace function realtime.send(payload jsonb, event text, topic text, private boolean default true) returns void
language plpgsql as $$
declare
  generated_id uuid := gen_random_uuid();
  final_payload jsonb := payload;
begin
  begin
    if jsonb_typeof(payload) = 'object' and not payload ? 'id' then
      final_payload := payload || jsonb_build_object('id', generated_id);
    end if;
    perform set_config('realtime.topic', topic, true);
    begin
      insert into realtime.messages (id, payload, event, topic, private, extension)
      values (generated_id, final_payload, event, topic, private, 'broadcast');
    exception when check_violation then
      perform realtime.ensure_partition();
      insert into realtime.messages (id, payload, event, topic, private, extension)
      values (generated_id, final_payload, event, topic, private, 'broadcast');
    end;
  exception when others then
    raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
  end;
end
$$;
comment on function realtime.send(jsonb, text, text, boolean) is 'realtime_inspector: broadcasts a JSON message.';
