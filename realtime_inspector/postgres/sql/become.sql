-- Becomes somebody until the end of the transaction: $1 role, $2 claims, $3 a mark by which the transaction is known again.
select pg_catalog.set_config('role', $1, true), pg_catalog.set_config('request.jwt.claims', $2, true),
  pg_catalog.set_config('realtime_inspector.run', $3, true)
