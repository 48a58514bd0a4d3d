-- What the service keeps in the database. Runs as an administrator, any number of times.

create schema if not exists realtime_inspector;

create table if not exists realtime_inspector.slots (
  slot text primary key,
  epoch text not null check (epoch <> ''),
  secret bytea not null check (octet_length(secret) = 32),
  position bigint not null check (position >= 0),
  floor bigint not null check (floor >= 0),
  published text not null default '',
  updated_at timestamptz not null default clock_timestamp()
);
alter table realtime_inspector.slots add column if not exists log text not null default '';
comment on column realtime_inspector.slots.log is
  'System and timeline of the log that the positions are of: after a failover without a reader they may have gone on elsewhere.';
comment on table realtime_inspector.slots is
  'How far the reader of each replication slot has handed changes over, and what the positions that clients hold depend on.';
comment on column realtime_inspector.slots.published is 'The publication as it was last seen, to notice what was out of it since.';
-- Default privileges may have opened it; the key of the positions is nobody else's.
revoke all on realtime_inspector.slots from public;

-- The audit trail: written by functions only, never rewritten, each entry bound to the one before it.

create table if not exists realtime_inspector.impersonation_sessions (
  id uuid primary key,
  admin_user_id text not null check (admin_user_id <> ''),
  target_user_id text,
  impersonation_type text not null check (impersonation_type in ('user', 'anon', 'service', 'custom')),
  target_role text not null check (target_role <> ''),
  claims jsonb not null,
  reason text not null check (char_length(btrim(reason)) between 5 and 500),
  ip_address text,
  user_agent text,
  started_at timestamptz not null default now(),
  expires_at timestamptz not null,
  ended_at timestamptz,
  end_reason text,
  check ((ended_at is null) = (end_reason is null))
);
comment on table realtime_inspector.impersonation_sessions is
  'Who looked through whose eyes, and why. A session without ended_at ends by itself at expires_at.';
alter table realtime_inspector.impersonation_sessions
  drop constraint if exists impersonation_sessions_end_reason_check,
  add constraint impersonation_sessions_end_reason_check check (end_reason in ('stopped', 'replaced', 'expired', 'revoked'));

create index if not exists impersonation_sessions_by_admin
  on realtime_inspector.impersonation_sessions (admin_user_id, started_at desc);
create index if not exists impersonation_sessions_by_start
  on realtime_inspector.impersonation_sessions (started_at desc);
create index if not exists impersonation_sessions_by_expiry
  on realtime_inspector.impersonation_sessions (expires_at);
create index if not exists impersonation_sessions_running
  on realtime_inspector.impersonation_sessions (expires_at) where ended_at is null;

-- No foreign key: the trail says what happened even where nothing else does.
create table if not exists realtime_inspector.audit_log (
  id bigint primary key,
  at timestamptz not null,
  action text not null,
  admin_user_id text,
  session_id uuid,
  detail jsonb not null default '{}',
  ip_address text,
  user_agent text
);
comment on table realtime_inspector.audit_log is
  'Everything that admins did or were refused, in order; hash covers the entry and the hash of the one before it.';
-- Of the time before there was a chain: the numbers came from a sequence.
alter table realtime_inspector.audit_log
  alter column id drop identity if exists,
  add column if not exists hash bytea,
  drop constraint if exists audit_log_action_check,
  add constraint audit_log_action_check check (action ~ '^[a-z][a-z_]{1,39}$');

create index if not exists audit_log_by_session on realtime_inspector.audit_log (session_id, id) where session_id is not null;
create index if not exists audit_log_by_admin on realtime_inspector.audit_log (admin_user_id, id);
-- The endings that every process of the service has to know of.
create index if not exists audit_log_of_admins
  on realtime_inspector.audit_log (action, id) where action in ('logout', 'admin_revoked', 'admin_reinstated');

create table if not exists realtime_inspector.audit_head (
  only_one boolean primary key default true check (only_one),
  id bigint not null,
  hash bytea not null check (octet_length(hash) = 32)
);
comment on table realtime_inspector.audit_head is 'The newest entry of the trail; its lock lets one writer add at a time.';
insert into realtime_inspector.audit_head (id, hash) values (0, decode(repeat('00', 32), 'hex')) on conflict do nothing;
revoke all on realtime_inspector.audit_head, realtime_inspector.audit_log, realtime_inspector.impersonation_sessions from public;

-- What the hash of an entry covers: the hash before it and every field with its length, so that no two entries read alike.
create or replace function realtime_inspector.chained(_previous bytea, _entry realtime_inspector.audit_log) returns bytea
language sql stable set search_path = pg_catalog, pg_temp as $$
  select sha256(_previous || convert_to(string_agg(coalesce(char_length(field) || ':' || field, '-'), ',' order by place), 'UTF8'))
  from unnest(array[
    _entry.id::text, to_char(_entry.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), _entry.action, _entry.admin_user_id,
    _entry.session_id::text, _entry.detail::text, _entry.ip_address, _entry.user_agent
  ]) with ordinality as fields (field, place)
$$;

create or replace function realtime_inspector.refuse_rewriting() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  -- The one change there is: a running session gets its end. What is recorded about it stays as it is.
  if tg_op = 'UPDATE' and tg_table_name = 'impersonation_sessions' then
    if old.ended_at is null and new.ended_at is not null
       and to_jsonb(new) - array['ended_at', 'end_reason'] = to_jsonb(old) - array['ended_at', 'end_reason'] then
      return new;
    end if;
  end if;
  -- And the head goes on by one entry.
  if tg_op = 'UPDATE' and tg_table_name = 'audit_head' then
    if new.only_one and new.id = old.id + 1 then
      return new;
    end if;
  end if;
  raise exception 'the audit trail is never rewritten: % on %.%', tg_op, tg_table_schema, tg_table_name
    using errcode = 'insufficient_privilege', hint = 'Sessions are ended by realtime_inspector.end_impersonation.';
end
$$;

-- Whoever adds an entry: number, time and hash are given here, while nobody else adds one.
create or replace function realtime_inspector.chain_entry() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  head realtime_inspector.audit_head;
begin
  select * into strict head from realtime_inspector.audit_head for update;
  new.id := head.id + 1;
  new.at := clock_timestamp();
  new.hash := realtime_inspector.chained(head.hash, new);
  update realtime_inspector.audit_head set id = new.id, hash = new.hash;
  return new;
end
$$;

-- Entries from before there was a chain are chained once, in their order.
do $$
declare
  entry realtime_inspector.audit_log;
  last bytea;
begin
  if exists (select from realtime_inspector.audit_log where hash is null) then
    perform from realtime_inspector.audit_head where id = 0 for update;
    if not found then
      raise exception 'the audit trail has entries without a hash' using hint = 'Ask realtime-inspector audit verify what was done to it.';
    end if;
    alter table realtime_inspector.audit_log disable trigger user;
    alter table realtime_inspector.audit_head disable trigger user;
    select hash into last from realtime_inspector.audit_head;
    for entry in select * from realtime_inspector.audit_log order by id loop
      last := realtime_inspector.chained(last, entry);
      update realtime_inspector.audit_log set hash = last where id = entry.id;
      update realtime_inspector.audit_head set id = entry.id, hash = last;
    end loop;
  end if;
end
$$;
alter table realtime_inspector.audit_log alter column hash set not null;

create or replace trigger kept before update or delete on realtime_inspector.impersonation_sessions
  for each row execute function realtime_inspector.refuse_rewriting();
create or replace trigger kept_whole before truncate on realtime_inspector.impersonation_sessions
  for each statement execute function realtime_inspector.refuse_rewriting();
create or replace trigger kept before update or delete on realtime_inspector.audit_log
  for each row execute function realtime_inspector.refuse_rewriting();
create or replace trigger kept_whole before truncate on realtime_inspector.audit_log
  for each statement execute function realtime_inspector.refuse_rewriting();
create or replace trigger kept before update or delete on realtime_inspector.audit_head
  for each row execute function realtime_inspector.refuse_rewriting();
create or replace trigger kept_whole before truncate on realtime_inspector.audit_head
  for each statement execute function realtime_inspector.refuse_rewriting();
create or replace trigger chained before insert on realtime_inspector.audit_log
  for each row execute function realtime_inspector.chain_entry();

-- "always": also where session_replication_role is replica.
alter table realtime_inspector.impersonation_sessions enable always trigger kept, enable always trigger kept_whole;
alter table realtime_inspector.audit_log
  enable always trigger kept, enable always trigger kept_whole, enable always trigger chained;
alter table realtime_inspector.audit_head enable always trigger kept, enable always trigger kept_whole;

drop function if exists realtime_inspector.end_impersonation(text, uuid, text);
drop function if exists realtime_inspector.record_refusal(text, jsonb, text, text);

-- Ends an admin's running sessions, or the one named, and returns them.
create or replace function realtime_inspector.end_impersonation(
  _admin_user_id text, _id uuid, _end_reason text, _ip_address text, _user_agent text
) returns setof realtime_inspector.impersonation_sessions
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  ended realtime_inspector.impersonation_sessions;
begin
  perform from realtime_inspector.audit_head for update; -- always before the sessions, so that nobody waits in a circle
  for ended in
    update realtime_inspector.impersonation_sessions
    set ended_at = now(), end_reason = _end_reason
    where admin_user_id = _admin_user_id and (_id is null or id = _id) and ended_at is null and expires_at > now()
    returning *
  loop
    insert into realtime_inspector.audit_log (action, admin_user_id, session_id, ip_address, user_agent)
    values (_end_reason, _admin_user_id, ended.id, _ip_address, _user_agent);
    return next ended;
  end loop;
end
$$;

-- Writes down the end of sessions whose time is over.
create or replace function realtime_inspector.expire_impersonations() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  ended realtime_inspector.impersonation_sessions;
begin
  if not exists (select from realtime_inspector.impersonation_sessions where ended_at is null and expires_at <= now()) then
    return;
  end if;
  perform from realtime_inspector.audit_head for update;
  for ended in
    update realtime_inspector.impersonation_sessions
    set ended_at = expires_at, end_reason = 'expired'
    where ended_at is null and expires_at <= now()
    returning *
  loop
    insert into realtime_inspector.audit_log (action, admin_user_id, session_id) values ('expired', ended.admin_user_id, ended.id);
  end loop;
end
$$;

-- Records a session before its token exists; ends the admin's other ones unless _concurrent. Returns the new one and those ended.
create or replace function realtime_inspector.start_impersonation(
  _id uuid, _admin_user_id text, _target_user_id text, _impersonation_type text, _target_role text, _claims jsonb, _reason text,
  _expires_at timestamptz, _ip_address text, _user_agent text, _concurrent boolean
) returns setof realtime_inspector.impersonation_sessions
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform from realtime_inspector.audit_head for update; -- two starts at once would not see each other's session
  if not _concurrent then
    return query select * from realtime_inspector.end_impersonation(_admin_user_id, null, 'replaced', _ip_address, _user_agent);
  end if;
  return query
    insert into realtime_inspector.impersonation_sessions (
      id, admin_user_id, target_user_id, impersonation_type, target_role, claims, reason, expires_at, ip_address, user_agent
    ) values (
      _id, _admin_user_id, _target_user_id, _impersonation_type, _target_role, _claims, _reason, _expires_at, _ip_address, _user_agent
    ) returning *;
  insert into realtime_inspector.audit_log (action, admin_user_id, session_id, detail, ip_address, user_agent)
  values (
    'started', _admin_user_id, _id,
    jsonb_build_object(
      'type', _impersonation_type, 'target', _target_user_id, 'role', _target_role, 'reason', _reason,
      'claims_sha256', encode(sha256(convert_to(_claims::text, 'UTF8')), 'hex'), 'expires_at', extract(epoch from _expires_at)::bigint
    ),
    _ip_address, _user_agent
  );
end
$$;

-- From now on nothing of this admin's counts; ends the running sessions and returns them.
create or replace function realtime_inspector.revoke_admin(
  _admin_user_id text, _by text, _reason text, _ip_address text, _user_agent text
) returns setof realtime_inspector.impersonation_sessions
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  insert into realtime_inspector.audit_log (action, admin_user_id, detail, ip_address, user_agent)
  values ('admin_revoked', _by, jsonb_build_object('admin', _admin_user_id, 'reason', _reason), _ip_address, _user_agent);
  return query
    select ended.*
    from (
      select distinct admin_user_id from realtime_inspector.impersonation_sessions
      where lower(admin_user_id) = lower(_admin_user_id) and ended_at is null and expires_at > now()
    ) as who, realtime_inspector.end_impersonation(who.admin_user_id, null, 'revoked', _ip_address, _user_agent) as ended;
end
$$;

-- Everything else that is worth an entry. What belongs to a session's life is written by the functions above alone.
create or replace function realtime_inspector.record_audit(
  _action text, _admin_user_id text, _session_id uuid, _detail jsonb, _ip_address text, _user_agent text
) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  entry bigint;
begin
  if _action in ('started', 'stopped', 'replaced', 'expired', 'revoked', 'admin_revoked') then
    raise exception 'entries of this kind are written by their own functions: %', _action using errcode = 'insufficient_privilege';
  end if;
  insert into realtime_inspector.audit_log (action, admin_user_id, session_id, detail, ip_address, user_agent)
  values (_action, _admin_user_id, _session_id, _detail, _ip_address, _user_agent)
  returning id into entry;
  return entry;
end
$$;

-- Functions are everybody's until somebody says otherwise.
revoke all on function realtime_inspector.chained(bytea, realtime_inspector.audit_log) from public;
revoke all on function realtime_inspector.refuse_rewriting() from public;
revoke all on function realtime_inspector.chain_entry() from public;
revoke all on function realtime_inspector.end_impersonation(text, uuid, text, text, text) from public;
revoke all on function realtime_inspector.expire_impersonations() from public;
revoke all on function realtime_inspector.start_impersonation(
  uuid, text, text, text, text, jsonb, text, timestamptz, text, text, boolean
) from public;
revoke all on function realtime_inspector.revoke_admin(text, text, text, text, text) from public;
revoke all on function realtime_inspector.record_audit(text, text, uuid, jsonb, text, text) from public;
