-- What the service does to realtime.messages; its logins may do nothing else there. Runs any number of times.

-- How far the messages of the log were handed over, for the next process; who reads this slot alone writes it.
create table if not exists realtime_inspector.broadcast_marks (
  slot text primary key,
  epoch text not null,
  commit_lsn bigint not null,
  place bigint not null
);
alter table realtime_inspector.broadcast_marks
  add column if not exists horizon xid8, add column if not exists recent uuid[] not null default '{}';
comment on table realtime_inspector.broadcast_marks is
  'The last message of realtime.messages that the reader of each replication slot has handed to the channels.';
comment on column realtime_inspector.broadcast_marks.horizon is
  'Should the log be lost: the messages of every transaction before this one were handed over, and those that are recent.';
revoke all on realtime_inspector.broadcast_marks from public;

-- Where triggers are the source: which messages were sent, and in which transaction, so that those can be told that committed since
-- somebody looked. xmin would not do: realtime.send writes in a subtransaction, of which no snapshot tells.
create table if not exists realtime_inspector.sent_messages (
  place bigint generated always as identity primary key,
  transaction xid8 not null default pg_catalog.pg_current_xact_id(),
  id uuid not null,
  inserted_at timestamp not null
);
create index if not exists sent_messages_transaction_index on realtime_inspector.sent_messages (transaction);
comment on table realtime_inspector.sent_messages is 'The messages that triggers have noted, for the service to hand over.';
revoke all on realtime_inspector.sent_messages from public;

-- What of them was handed over; who is called by this slot's name alone writes it.
create table if not exists realtime_inspector.sent_marks (
  slot text primary key,
  seen pg_snapshot not null
);
comment on table realtime_inspector.sent_marks is 'All messages that each snapshot shows were handed to the channels.';
revoke all on realtime_inspector.sent_marks from public;

-- When messages that were kept for a while only are forgotten; what is not here is kept as long as its partition.
create table if not exists realtime_inspector.expiring_messages (
  id uuid primary key,
  expires_at timestamptz not null
);
comment on table realtime_inspector.expiring_messages is 'Until when messages with a time to live can be replayed.';
revoke all on realtime_inspector.expiring_messages from public;

-- Keeps a message that was sent. _ttl: seconds; null: as long as all messages.
create or replace function realtime_inspector.keep_message(
  _id uuid, _topic text, _event text, _payload jsonb, _binary bytea, _ttl bigint
) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  begin
    insert into realtime.messages (id, topic, event, payload, binary_payload, private, extension)
    values (_id, _topic, _event, _payload, _binary, true, 'broadcast');
  exception when check_violation then
    perform realtime_inspector.make_partition((now() at time zone 'utc')::date);
    insert into realtime.messages (id, topic, event, payload, binary_payload, private, extension)
    values (_id, _topic, _event, _payload, _binary, true, 'broadcast');
  end;
  if _ttl is not null then
    insert into realtime_inspector.expiring_messages values (_id, now() + make_interval(secs => _ttl));
  end if;
end
$$;

-- One day's partition (UTC), if it is missing. Nobody reads or writes a partition by its own name.
create or replace function realtime_inspector.make_partition(_day date) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '2s' as $$
declare
  partition text := 'messages_' || to_char(_day, 'YYYY_MM_DD');
begin
  if to_regclass(format('realtime.%I', partition)) is not null then
    return false;
  end if;
  execute format(
    'create table if not exists realtime.%I partition of realtime.messages for values from (%L) to (%L)', partition, _day, _day + 1
  );
  execute format('alter table realtime.%I enable row level security', partition);
  execute format('revoke all on realtime.%I from public', partition);
  return true;
end
$$;

-- Makes the partitions from yesterday to three days ahead, and drops those that are older than _hours and were made for us.
create or replace function realtime_inspector.keep_partitions(_hours int) returns table (made int, dropped int)
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '2s' as $$
declare
  today date := (now() at time zone 'utc')::date;
  old text;
begin
  made := 0;
  dropped := 0;
  for ahead in -1 .. 3 loop
    made := made + realtime_inspector.make_partition(today + ahead)::int;
  end loop;
  delete from realtime.messages m using realtime_inspector.expiring_messages e where m.id = e.id and e.expires_at <= now();
  delete from realtime_inspector.expiring_messages where expires_at <= now();
  delete from realtime_inspector.sent_messages
    where inserted_at < (now() at time zone 'utc') - make_interval(hours => _hours);
  if obj_description('realtime.messages'::regclass, 'pg_class') like 'realtime_inspector:%' then
    for old in
      select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
      where i.inhparent = 'realtime.messages'::regclass and c.relname ~ '^messages_\d{4}_\d\d_\d\d$'
        and (to_date(right(c.relname, 10), 'YYYY_MM_DD') + 1)::timestamp
          <= (now() at time zone 'utc') - make_interval(hours => _hours)
    loop
      execute format('drop table realtime.%I', old);
      dropped := dropped + 1;
    end loop;
  end if;
  return next;
end
$$;

-- Throw-away rows to be looked at under somebody's policies. The transaction that calls it is always rolled back.
create or replace function realtime_inspector.probe_rows(_topic text) returns table (_extension text, _id uuid)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  begin
    return query
      insert into realtime.messages (topic, extension) values (_topic, 'broadcast'), (_topic, 'presence')
      returning messages.extension, messages.id;
  exception when check_violation then
    perform realtime_inspector.make_partition((now() at time zone 'utc')::date);
    return query
      insert into realtime.messages (topic, extension) values (_topic, 'broadcast'), (_topic, 'presence')
      returning messages.extension, messages.id;
  end;
end
$$;

revoke all on function realtime_inspector.make_partition(date) from public;
revoke all on function realtime_inspector.keep_partitions(int) from public;
revoke all on function realtime_inspector.probe_rows(text) from public;
revoke all on function realtime_inspector.keep_message(uuid, text, text, jsonb, bytea, bigint) from public;

-- May this role, with these claims and headers, receive (or send, _write) on the topic? One row for each extension; what a policy
-- raises denies and is told apart. SECURITY INVOKER, because SET ROLE is refused in a definer function; each extension is asked in
-- a subtransaction that is rolled back. The evaluator calls it, and rolls everything back.
create or replace function realtime_inspector.probe(_topic text, _role text, _claims text, _headers text, _write boolean)
returns table (_extension text, _allowed boolean, _error text, _said text)
language plpgsql as $$
#variable_conflict use_column
declare
  _extensions text[];
  _ids uuid[];
  _id uuid;
  _ignored text;
begin
  if $5 then
    _extensions := array['broadcast', 'presence', 'persistence'];
  else
    select pg_catalog.array_agg(p._extension), pg_catalog.array_agg(p._id) into _extensions, _ids
    from realtime_inspector.probe_rows($1) as p;
  end if;
  for _place in 1 .. pg_catalog.cardinality(_extensions) loop
    _extension := _extensions[_place];
    _allowed := false;
    _error := null;
    _said := null;
    begin
      _id := _ids[_place];
      _ignored := pg_catalog.set_config('realtime.topic', $1, true);
      _ignored := pg_catalog.set_config('request.jwt.claims', $3, true);
      _ignored := pg_catalog.set_config('request.jwt.claim.sub', coalesce($3::pg_catalog.json operator(pg_catalog.->>) 'sub', ''), true);
      _ignored := pg_catalog.set_config('request.jwt.claim.role', $2, true);
      _ignored := pg_catalog.set_config('request.headers', $4, true);
      _ignored := pg_catalog.set_config('role', $2, true);
      if current_user operator(pg_catalog.<>) $2 then
        raise invalid_role_specification;
      end if;
      if $5 then
        insert into realtime.messages (topic, extension) values ($1, _extension);
        _allowed := true;
      else
        _allowed := exists (select from realtime.messages m where m.id operator(pg_catalog.=) _id);
      end if;
      raise sqlstate 'RTI00';
    exception
      when sqlstate 'RTI00' then
        null;
      when others or assert_failure then
        _allowed := false;
        -- a row that no policy lets in is an answer and no error
        if sqlstate <> '42501' or sqlerrm not like '%row-level security%' then
          _error := sqlstate;
          _said := sqlerrm;
        end if;
    end;
    return next;
  end loop;
end
$$;
revoke all on function realtime_inspector.probe(text, text, text, text, boolean) from public;
