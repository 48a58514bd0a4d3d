-- Drops a slot that nobody reads, unless it is a new one of that name, which holds back less. $1: name, $2: bytes of log held back.
select pg_drop_replication_slot(slot_name)
from pg_catalog.pg_replication_slots
where slot_name = $1 and not active and pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) >= $2
