-- A replication slot and the log that it holds back. $1: name.
select slot_name::text as name, coalesce(plugin::text, '') as plugin, coalesce(database::text, '') as database, active,
  coalesce(wal_status, '') as wal_status, safe_wal_size as safe,
  coalesce(pg_wal_lsn_diff(
    case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, restart_lsn), 0)::int8 as retained
from pg_catalog.pg_replication_slots
where slot_name = $1
