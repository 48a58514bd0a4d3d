-- What the triggers of `init --source notify` run: tells the key of a changed row to whoever listens, never the row.
-- A notification is [number, transaction, table, operation, key, old key]. Argument of a row's trigger: an expression that makes
-- the key of the row $1. Settings: those in which the service reads values, so that equal keys have equal texts.
create or replace function realtime_inspector.announce() returns trigger
language plpgsql set search_path = '' set "DateStyle" = 'ISO, MDY' set "IntervalStyle" = 'postgres' set "TimeZone" = 'UTC'
set extra_float_digits = '1' set bytea_output = 'hex' set row_security = 'on' as $$
declare
  new_key json;
  old_key json;
begin
  -- https://www.postgresql.org/docs/current/sql-notify.html: equal ones of one transaction are sent once, so each gets a number.
  perform set_config(
    'realtime_inspector.number',
    (coalesce(nullif(current_setting('realtime_inspector.number', true), ''), '0')::int8 + 1)::text, true);
  if tg_op in ('INSERT', 'UPDATE') then
    execute 'select ' || tg_argv[0] into new_key using new;
  end if;
  if tg_op in ('UPDATE', 'DELETE') then
    execute 'select ' || tg_argv[0] into old_key using old;
  end if;
  if new_key::text = old_key::text then
    old_key := null;
  end if;
  perform pg_notify('realtime_inspector', json_build_array(
    current_setting('realtime_inspector.number'), pg_current_xact_id(), tg_relid, tg_op, new_key, old_key)::text);
  return null;
exception when others then
  -- The key has 8000 bytes or more, or its columns have other names now: the writer must not suffer for it, and the reader
  -- must know that something is missing.
  perform pg_notify('realtime_inspector', json_build_array(0, pg_current_xact_id(), tg_relid, tg_op)::text);
  return null;
end
$$;
revoke all on function realtime_inspector.announce() from public;
