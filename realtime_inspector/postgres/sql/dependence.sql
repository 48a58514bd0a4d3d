-- What must be known to tell on which claims a relation's policies depend for a role, as one JSON. $1: oid of the relation, $2: name of
-- the role. It covers the policies of all relations that sub-selects read, whether row-level security is on there or not.
with recursive applies as not materialized (
  select p.polrelid::int8 as relation, p.polpermissive as permissive, p.polqual::text as expression
  from pg_catalog.pg_policy p cross join pg_catalog.pg_roles r
  where r.rolname = $2::text and p.polcmd in ('r', '*') and p.polqual is not null
    and (p.polroles = '{0}' or exists (select from unnest(p.polroles) as named (oid) where pg_has_role(r.oid, named.oid, 'USAGE')))
),
reached (relation) as (
  select $1::text::oid
  union
  select named.ids[1]::oid
  from reached join applies on applies.relation = reached.relation::int8
  cross join regexp_matches(applies.expression, ':relid (\d+)', 'g') as named (ids)
),
policies as materialized (
  select applies.* from applies join reached on applies.relation = reached.relation::int8
),
numbers (id) as materialized (
  select distinct named.ids[1]::oid from policies
  cross join regexp_matches(expression, ':\w*(?:func|fn|rel|typ)\w* (?:\(o )?((?:\d+ ?)+)', 'g') as fields (texts)
  cross join regexp_matches(fields.texts[1], '\d+', 'g') as named (ids)
  where length(named.ids[1]) < 10
),
functions as (
  select f.oid::int8, f.oid < 16384 as built_in, f.prosrc,
    case when f.oid < 16384 then f.proname::text else n.nspname || '.' || f.proname end as name,
    -- Those that are not immutable, but read nothing that differs between identities of one role.
    f.oid < 16384 and l.lanname in ('internal', 'c') and (f.provolatile = 'i' or f.proname in (
      'now', 'transaction_timestamp', 'timestamptz', 'timestamp', 'date', 'to_char', 'date_trunc', 'date_part', 'extract',
      'timestamptz_pl_interval', 'timestamptz_mi_interval', 'interval_pl_timestamptz', 'concat', 'concat_ws', 'array_to_string')
      or f.proname ~ '^(date|timestamp|timestamptz)_(eq|ne|lt|le|gt|ge)_(date|timestamp|timestamptz)$') as pure,
    -- A setting of the function itself may be the claims; its result may be cast, which runs code of that type.
    f.oid >= 16384 and l.lanname = 'sql' and f.prokind = 'f' and f.pronargs = 0 and not f.proretset and f.prorettype < 16384
      and not exists (select from unnest(f.proconfig) as own (setting) where own.setting not like 'search_path=%') as readable,
    f.oid >= 16384 and f.provolatile = 'i' as immutable,
    f.oid >= 16384 and l.lanname = 'sql' and not f.prosecdef and f.proconfig is null as inlined
  from numbers
  join pg_catalog.pg_proc f on f.oid = numbers.id
  join pg_catalog.pg_namespace n on n.oid = f.pronamespace
  join pg_catalog.pg_language l on l.oid = f.prolang
),
types as (
  select t.oid::int8, t.typtype = 'd' as stored
  from numbers
  join pg_catalog.pg_type t on t.oid = numbers.id and t.oid >= 16384
  left join pg_catalog.pg_type e on e.oid = t.typelem and e.typarray = t.oid
  left join pg_catalog.pg_type b on b.oid = t.typbasetype
  where 'e' in (t.typtype, e.typtype) or (t.typtype = 'd' and (b.oid < 16384 or b.typtype = 'e'))
)
select json_strip_nulls(json_build_object(
  'policies', (select json_agg(policies) from policies),
  'functions', (select json_object_agg(oid, json_build_object('name', name, 'built_in', built_in, 'pure', pure,
    'body', case when readable then prosrc end, 'immutable', immutable, 'inlined', inlined)) from functions),
  'tables', (
    select json_agg(c.oid::int8) from numbers join pg_catalog.pg_class c on c.oid = numbers.id
    where c.oid >= 16384 and c.relkind in ('r', 'p')),
  'types', (select json_agg(oid) from types where not stored),
  'stored', (select json_agg(oid) from types where stored),
  'columns', (
    select json_object_agg(a.attnum, a.attname) from pg_catalog.pg_attribute a
    where a.attrelid = $1::text::oid and a.attnum > 0 and not a.attisdropped),
  'shadowed', {shadowed},
  -- A function that is declared immutable and is not, called by one that Postgres puts into the plan.
  'liars', exists (
    select from pg_catalog.pg_proc f join pg_catalog.pg_language l on l.oid = f.prolang
    where f.oid >= 16384 and f.provolatile = 'i' and l.lanname not in ('internal', 'c'))
))::text
