-- Published tables whose changes no trigger tells. $1: publication, $2: name of the row's trigger, $3: of the table's, $4: the oid of
-- a table, to look at it and its partitions only, or null.
-- Also how full the queue of notifications is, from 0 to 1.
select pg_catalog.pg_notification_queue_usage() as queue_usage,
  array(
    select c.oid::int8
    from pg_catalog.pg_get_publication_tables($1) p
    join pg_catalog.pg_class c on c.oid = p.relid
    where ($4::oid is null or c.oid = $4 or c.oid in (select relid from pg_catalog.pg_partition_tree($4)))
      and c.relnamespace not in (select oid from pg_catalog.pg_namespace where nspname = 'realtime_inspector')
      and 2 <> (select count(*) from pg_catalog.pg_trigger t
                where t.tgrelid = c.oid and t.tgname in ($2, $3) and t.tgenabled in ('O', 'A')
                  and t.tgfoid = (select f.oid from pg_catalog.pg_proc f join pg_catalog.pg_namespace n on n.oid = f.pronamespace
                                  where n.nspname = 'realtime_inspector' and f.proname = 'announce' and f.pronargs = 0))
  ) as silent
