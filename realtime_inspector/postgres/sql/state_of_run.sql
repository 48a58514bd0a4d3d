-- What must be the same after every statement of a run.
select current_user, pg_catalog.current_setting('role'), session_user, pg_catalog.current_setting('request.jwt.claims', true),
  pg_catalog.current_setting('realtime_inspector.run', true), pg_catalog.current_setting('transaction_read_only'),
  pg_catalog.current_setting('statement_timeout'), pg_catalog.current_setting('row_security'),
  pg_catalog.current_setting('search_path'), pg_catalog.current_setting('session_replication_role')
