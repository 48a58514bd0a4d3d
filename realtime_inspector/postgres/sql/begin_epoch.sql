-- Makes the row of a slot, or begins a new epoch unless somebody else did. $1: slot, $2: epoch, $3: secret, $4: the epoch that was lost.
insert into realtime_inspector.slots (slot, epoch, secret, position, floor)
values ($1, $2, $3, 0, 0)
on conflict (slot) do update set epoch = excluded.epoch, position = 0, floor = 0, log = '', updated_at = clock_timestamp()
where slots.epoch = $4
