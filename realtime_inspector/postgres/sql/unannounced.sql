-- Published tables whose changes no trigger tells. $1: publication, $2: name of the row's trigger, $3: of the table's.
-- Also how full the queue of notifications is, from 0 to 1.
select pg_catalog.pg_notification_queue_usage() as queue_usage,
  array(
    select c.oid::int8
    from pg_catalog.pg_get_publication_tables($1) p
    join pg_catalog.pg_class c on c.oid = p.relid
    where c.relnamespace <> coalesce(to_regnamespace('realtime_inspector')::oid, 0)
      and 2 <> (select count(*) from pg_catalog.pg_trigger t
                where t.tgrelid = c.oid and t.tgname in ($2, $3) and t.tgenabled in ('O', 'A')
                  and t.tgfoid = to_regprocedure('realtime_inspector.announce()'))
  ) as silent
