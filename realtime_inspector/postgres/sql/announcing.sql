-- The tables with triggers of ours. $1: name of the row's trigger, $2: of the table's. Partitions have theirs from their root.
-- key: the argument of the row's trigger; complete: both are there and fire always.
select c.oid::int8 as oid, format('%I.%I', n.nspname, c.relname) as sql,
  coalesce(max(convert_from(substr(t.tgargs, 1, greatest(length(t.tgargs) - 1, 0)), getdatabaseencoding()))
    filter (where t.tgname = $1), '') as key,
  count(*) = 2 and bool_and(t.tgenabled = 'A') as complete
from pg_catalog.pg_trigger t
join pg_catalog.pg_class c on c.oid = t.tgrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where t.tgname in ($1, $2) and t.tgparentid = 0
  and t.tgfoid = (select p.oid from pg_catalog.pg_proc p join pg_catalog.pg_namespace s on s.oid = p.pronamespace
                  where s.nspname = 'realtime_inspector' and p.proname = 'announce' and p.pronargs = 0)
group by c.oid, n.nspname, c.relname
order by n.nspname, c.relname
