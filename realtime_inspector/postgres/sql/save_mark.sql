-- Moves the mark of a slot on. $1: slot, $2: epoch, $3: commit LSN, $4: place in the transaction, $5: the horizon, null: as it was; $6: ids of
-- the newest messages. Returns the next one, and the LSN at which it is true: what has ended before it stands in the log before there.
insert into realtime_inspector.broadcast_marks as known values ($1, $2, $3, $4, $5::text::xid8, $6)
on conflict (slot) do update set
  epoch = excluded.epoch, commit_lsn = excluded.commit_lsn, place = excluded.place, horizon = coalesce(excluded.horizon, known.horizon),
  recent = excluded.recent
returning pg_snapshot_xmin(pg_current_snapshot())::text as horizon, (pg_current_wal_insert_lsn() - '0/0')::int8 as lsn
