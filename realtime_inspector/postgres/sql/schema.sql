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
comment on table realtime_inspector.slots is
  'How far the reader of each replication slot has handed changes over, and what the positions that clients hold depend on.';
comment on column realtime_inspector.slots.published is 'The publication as it was last seen, to notice what was out of it since.';
-- Default privileges may have opened it; the key of the positions is nobody else's.
revoke all on realtime_inspector.slots from public;

-- The audit trail of impersonations: written by functions only, never rewritten.

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
  end_reason text check (end_reason in ('stopped', 'replaced')),
  check ((ended_at is null) = (end_reason is null))
);
comment on table realtime_inspector.impersonation_sessions is
  'Who looked through whose eyes, and why. A session without ended_at ended by itself at expires_at.';

create index if not exists impersonation_sessions_by_admin
  on realtime_inspector.impersonation_sessions (admin_user_id, started_at desc);
create index if not exists impersonation_sessions_by_start
  on realtime_inspector.impersonation_sessions (started_at desc);

-- No foreign key: the trail says what happened even where nothing else does.
create table if not exists realtime_inspector.audit_log (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  action text not null check (action in ('started', 'stopped', 'replaced', 'refused')),
  admin_user_id text,
  session_id uuid,
  detail jsonb not null default '{}',
  ip_address text,
  user_agent text
);
comment on table realtime_inspector.audit_log is 'Every impersonation that was started, ended or refused, in order.';

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
  raise exception 'the audit trail is never rewritten: % on %.%', tg_op, tg_table_schema, tg_table_name
    using errcode = 'insufficient_privilege', hint = 'Sessions are ended by realtime_inspector.end_impersonation.';
end
$$;

create or replace trigger kept before update or delete on realtime_inspector.impersonation_sessions
  for each row execute function realtime_inspector.refuse_rewriting();
create or replace trigger kept_whole before truncate on realtime_inspector.impersonation_sessions
  for each statement execute function realtime_inspector.refuse_rewriting();
create or replace trigger kept before update or delete on realtime_inspector.audit_log
  for each row execute function realtime_inspector.refuse_rewriting();
create or replace trigger kept_whole before truncate on realtime_inspector.audit_log
  for each statement execute function realtime_inspector.refuse_rewriting();

-- "always": also where session_replication_role is replica.
alter table realtime_inspector.impersonation_sessions enable always trigger kept, enable always trigger kept_whole;
alter table realtime_inspector.audit_log enable always trigger kept, enable always trigger kept_whole;

-- Ends an admin's running sessions, or the one named, and returns them.
create or replace function realtime_inspector.end_impersonation(_admin_user_id text, _id uuid, _end_reason text)
returns setof realtime_inspector.impersonation_sessions
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  ended realtime_inspector.impersonation_sessions;
begin
  for ended in
    update realtime_inspector.impersonation_sessions
    set ended_at = now(), end_reason = _end_reason
    where admin_user_id = _admin_user_id and (_id is null or id = _id) and ended_at is null and expires_at > now()
    returning *
  loop
    insert into realtime_inspector.audit_log (action, admin_user_id, session_id)
    values (_end_reason, _admin_user_id, ended.id);
    return next ended;
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
  -- Two starts at once would not see each other's session.
  perform pg_advisory_xact_lock(hashtextextended('realtime_inspector.impersonation ' || _admin_user_id, 0));
  if not _concurrent then
    return query select * from realtime_inspector.end_impersonation(_admin_user_id, null, 'replaced');
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
    jsonb_build_object('type', _impersonation_type, 'target', _target_user_id, 'role', _target_role, 'reason', _reason),
    _ip_address, _user_agent
  );
end
$$;

create or replace function realtime_inspector.record_refusal(
  _admin_user_id text, _detail jsonb, _ip_address text, _user_agent text
) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
  insert into realtime_inspector.audit_log (action, admin_user_id, detail, ip_address, user_agent)
  values ('refused', _admin_user_id, _detail, _ip_address, _user_agent);
$$;

-- Functions are everybody's until somebody says otherwise.
revoke all on function realtime_inspector.refuse_rewriting() from public;
revoke all on function realtime_inspector.end_impersonation(text, uuid, text) from public;
revoke all on function realtime_inspector.start_impersonation(
  uuid, text, text, text, text, jsonb, text, timestamptz, text, text, boolean
) from public;
revoke all on function realtime_inspector.record_refusal(text, jsonb, text, text) from public;
