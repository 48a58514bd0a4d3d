-- Evaluates texts of expressions over one row as one identity; made once per connection, in the evaluator's temporary schema.
-- $1: role, $2: claims, $3: what to select from, in which $1 is the row's literal, $4: that literal, $5: expressions of type text.
-- All in one statement; if that raises, or leaves role or claims changed, each alone in a subtransaction of its own, so that an
-- error is one expression's only. Every subtransaction is rolled back. SECURITY INVOKER: SET ROLE is refused in a definer function.
create or replace function pg_temp.rti_trace(_rti_role text, _rti_claims text, _rti_source text, _rti_literal text, _rti_items text[])
returns table (_rti_place int, _rti_value text, _rti_error text, _rti_message text)
language plpgsql as $_rti_trace$
#variable_conflict use_column
declare
  _rti_ignored text;
  _rti_values text[];
  _rti_many int := pg_catalog.cardinality($5);
  _rti_k int := 0;
begin
  begin
    _rti_ignored := pg_catalog.set_config('role', $1, true);
    _rti_ignored := pg_catalog.set_config('request.jwt.claims', $2, true);
    if current_user operator(pg_catalog.<>) $1 then
      raise insufficient_privilege;
    end if;
    execute pg_catalog.concat('select array[', pg_catalog.array_to_string($5, E',\n'), ']::pg_catalog.text[] from ', $3)
      into _rti_values using $4;
    if current_user operator(pg_catalog.=) $1 and pg_catalog.current_setting('request.jwt.claims') operator(pg_catalog.=) $2 then
      raise sqlstate 'RTI00';
    end if;
    raise sqlstate 'RTI01';
  exception
    when sqlstate 'RTI00' then
      for _rti_each in 1 .. _rti_many loop
        _rti_place := _rti_each;
        _rti_value := _rti_values[_rti_each];
        return next;
      end loop;
      return;
    when others or assert_failure then
      null;
  end;
  while _rti_k < _rti_many loop
    _rti_k := _rti_k + 1;
    _rti_place := _rti_k;
    _rti_value := null;
    _rti_error := null;
    _rti_message := null;
    begin
      _rti_ignored := pg_catalog.set_config('role', $1, true);
      _rti_ignored := pg_catalog.set_config('request.jwt.claims', $2, true);
      if current_user operator(pg_catalog.<>) $1 then
        raise insufficient_privilege;
      end if;
      execute pg_catalog.concat('select ', $5[_rti_k], E'\n from ', $3) into _rti_value using $4;
      raise sqlstate 'RTI00';
    exception
      when sqlstate 'RTI00' then
        null;
      when others or assert_failure then
        _rti_error := sqlstate;
        _rti_message := sqlerrm;
    end;
    return next;
  end loop;
exception when query_canceled then
  for _rti_each in greatest(_rti_k, 1) .. _rti_many loop
    _rti_place := _rti_each;
    _rti_value := null;
    _rti_error := '57014';
    _rti_message := sqlerrm;
    return next;
  end loop;
end $_rti_trace$
