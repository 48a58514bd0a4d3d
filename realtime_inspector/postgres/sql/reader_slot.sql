-- A slot, as its reader sees it: whether it can be ours, whether it is lost, its confirmed position as a number, and whether a standby
-- may take it over (17 and newer can be told so). Its parameter: the name.
select
  plugin = 'pgoutput' and database = current_database() and not temporary,
  coalesce(wal_status = 'lost', false),
  coalesce(confirmed_flush_lsn - '0/0', 0)::int8,
  coalesce((to_jsonb(s) ->> 'failover')::bool, true)
from pg_catalog.pg_replication_slots s
where slot_name = %s
