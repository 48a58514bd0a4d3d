-- What plain SELECTs show each person of each table now: the columns that the role may read, the rows, and those of which a policy raises.
-- Identities are JSON objects of name, role and claims. To be called outside of any other use of the settings that it changes.
create schema oracle;
create function oracle.view(people json, tables text[])
returns table (person text, relation text, readable text[], visible text, raising int[]) language plpgsql as $$
declare
  one record;
  wanted text;
  ids int[];
  id int;
  query text;
  found json[];
  row_found json[];
begin
  for one in select * from json_to_recordset(people) as p (name text, role text, claims text) loop
    foreach wanted in array tables loop
      select array_agg(a.attname::text order by a.attnum) into readable from pg_attribute a
        where a.attrelid = wanted::regclass and a.attnum > 0 and not a.attisdropped
          and has_column_privilege(one.role, a.attrelid, a.attnum, 'select');
      person := one.name; relation := wanted; readable := coalesce(readable, '{}'); raising := '{}'; visible := '[]';
      if 'id' = any (readable) then
        select format('select array_agg(json_build_object(%s)) from %I t where id = any ($1)',
          string_agg(format('%L, t.%I', name, name), ', '), wanted) into query from unnest(readable) name;
        execute format('select array_agg(id) from %I', wanted) into ids;
        perform set_config('request.jwt.claims', one.claims, true), set_config('role', one.role, true);
        begin
          execute query into found using coalesce(ids, '{}');
        exception when others then
          found := '{}';
          foreach id in array ids loop
            begin
              execute query into row_found using array[id];
              found := found || row_found;
            exception when others then
              raising := raising || id;
            end;
          end loop;
        end;
        perform set_config('role', 'none', true), set_config('request.jwt.claims', '', true);
        visible := coalesce(array_to_json(found)::text, '[]');
      end if;
      return next;
    end loop;
  end loop;
end $$;
