-- Moves a slot's position on, never back, and not for an epoch that is over. $1: slot, $2: epoch, $3: position, $4: floor.
update realtime_inspector.slots
set position = $3, floor = $4, updated_at = clock_timestamp()
where slot = $1 and epoch = $2 and position < $3
