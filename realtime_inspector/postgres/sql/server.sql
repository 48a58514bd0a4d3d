-- What the server is and what it has to spare.
select current_setting('server_version_num')::int as version, current_setting('server_version') as version_text,
  current_database()::text as database, quote_ident(current_database()) as database_sql,
  pg_is_in_recovery() as standby, current_setting('wal_level') as wal_level,
  (select count(*) from pg_catalog.pg_replication_slots)::int as slots_used,
  current_setting('max_replication_slots')::int as slots_most,
  (select count(*) from pg_catalog.pg_stat_replication)::int as senders_used,
  current_setting('max_wal_senders')::int as senders_most
