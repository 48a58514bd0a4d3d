-- A publication and the oids of its tables. $1: name.
select p.pubname::text as name, quote_ident(p.pubname) as sql, p.puballtables as all_tables,
  p.pubinsert and p.pubupdate and p.pubdelete and p.pubtruncate as everything,
  array(
    select c.oid::int8
    from pg_catalog.pg_publication_tables t
    join pg_catalog.pg_namespace n on n.nspname = t.schemaname
    join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = t.tablename
    where t.pubname = p.pubname
  ) as tables
from pg_catalog.pg_publication p
where p.pubname = $1
