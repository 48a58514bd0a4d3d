-- The names of types as SQL writes them: $1 oids, $2 modifiers, in the order of the columns.
select pg_catalog.format_type(oid, modifier)
from rows from (pg_catalog.unnest($1::pg_catalog.oid[]), pg_catalog.unnest($2::pg_catalog.int4[])) with ordinality as t (oid, modifier, place)
order by place
