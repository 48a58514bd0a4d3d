-- The same with bytes, which clients of version 2.0.0 receive.
create or replace function realtime.send_binary(payload bytea, event text, topic text, private boolean default true) returns void
language plpgsql as $$
declare
  generated_id uuid := gen_random_uuid();
begin
  begin
    perform set_config('realtime.topic', topic, true);
    begin
      insert into realtime.messages (id, binary_payload, event, topic, private, extension)
      values (generated_id, payload, event, topic, private, 'broadcast');
    exception when check_violation then
      perform realtime.ensure_partition();
      insert into realtime.messages (id, binary_payload, event, topic, private, extension)
      values (generated_id, payload, event, topic, private, 'broadcast');
    end;
  exception when others then
    raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
  end;
end
$$;
comment on function realtime.send_binary(bytea, text, text, boolean) is 'realtime_inspector: broadcasts bytes.';
