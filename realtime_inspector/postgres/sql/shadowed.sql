-- Whether something of the application may stand in for what the body of a function such as auth.uid() means: names in it are looked
-- up when it runs, and an operator or a cast that fits better than the built-in one is taken instead of it. Part of other statements.
exists (select from pg_catalog.pg_proc where proname = 'current_setting' and oid >= 16384)
or exists (
  select from pg_catalog.pg_operator
  where oprname in ('->', '->>', '#>', '#>>', '=') and oid >= 16384
    and oprleft in ('text'::regtype, 'uuid'::regtype, 'json'::regtype, 'jsonb'::regtype))
or exists (select from pg_catalog.pg_type where typname in ('text', 'uuid', 'json', 'jsonb') and oid >= 16384)
or exists (
  select from pg_catalog.pg_cast
  where castfunc >= 16384 and castsource in ('text'::regtype, 'varchar'::regtype, 'json'::regtype, 'jsonb'::regtype, 'uuid'::regtype))
