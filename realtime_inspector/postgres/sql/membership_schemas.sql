-- The schemas that a publication holds as a whole (Postgres 15 and newer). $1: publication.
select n.nspname as schema, pn.oid::text as mark
from pg_catalog.pg_publication p
join pg_catalog.pg_publication_namespace pn on pn.pnpubid = p.oid
join pg_catalog.pg_namespace n on n.oid = pn.pnnspid
where p.pubname = $1
