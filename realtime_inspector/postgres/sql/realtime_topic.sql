-- The name of the channel that a policy on realtime.messages is asked about.
create or replace function realtime.topic() returns text
language sql stable as $$ select nullif(current_setting('realtime.topic', true), '') $$;
comment on function realtime.topic() is 'realtime_inspector: the name of the channel that a policy is asked about.';
