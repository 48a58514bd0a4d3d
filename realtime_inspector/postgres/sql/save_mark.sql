-- Moves the mark of a slot on. $1: slot, $2: epoch, $3: commit LSN, $4: place in the transaction.
insert into realtime_inspector.broadcast_marks values ($1, $2, $3, $4)
on conflict (slot) do update set epoch = excluded.epoch, commit_lsn = excluded.commit_lsn, place = excluded.place
