-- Decides, for many identities, which of the wanted rows each may see. What stands in braces is filled in per question, and the
-- function is created in the evaluator's temporary schema. Role and claims are set for every identity, because a policy may have
-- changed them; one SQL statement over all identities would compute (select auth.uid()) once and leak the first one's answer.
-- SECURITY INVOKER: SET ROLE is refused in a definer function. Names are unlikely ones: the query may mention any column.
-- When a policy raises, the identity is asked again row by row, so that one bad row does not hide the others.
create or replace function pg_temp.{name}(_rti_wanted {type}[], _rti_roles text[], _rti_claims text[])
returns table (_rti_identity int, _rti_everything boolean, _rti_visible {result}[], _rti_raised int[], _rti_error text)
language plpgsql set plan_cache_mode = force_generic_plan as $_rti_{name}$
declare
  _rti_ignored text;
  _rti_some {type}[];
  _rti_seen {result}[];
  _rti_first int;
  _rti_last int;
begin
  for _rti_k in 1 .. cardinality($2) loop
    _rti_visible := null;
    _rti_raised := null;
    _rti_error := null;
    _rti_first := 1;
    _rti_last := cardinality($1);
    while _rti_first <= cardinality($1) loop
      _rti_some := $1[_rti_first : _rti_last];
      _rti_seen := null;
      begin
        _rti_ignored := set_config('role', $2[_rti_k], true);
        _rti_ignored := set_config('request.jwt.claims', $3[_rti_k], true);
        if current_user <> $2[_rti_k] then
          raise insufficient_privilege;
        end if;
        {query}
        _rti_visible := _rti_visible || _rti_seen;
        _rti_first := _rti_last + 1;
        _rti_last := _rti_first;
      exception when others then
        -- not the policy's fault: the whole batch is asked again
        if left(sqlstate, 2) in ('40', '53', '55', '57') then raise; end if;
        -- only the code: the text may hold another row's data
        _rti_error := sqlstate;
        if _rti_first = _rti_last then
          _rti_raised := _rti_raised || _rti_first;
          _rti_first := _rti_first + 1;
        end if;
        _rti_last := _rti_first;
      end;
    end loop;
    if _rti_visible is not null or _rti_raised is not null then
      _rti_identity := _rti_k;
      _rti_everything := coalesce(cardinality(_rti_visible) = cardinality($1), false);
      if _rti_everything then
        _rti_visible := null;
      end if;
      return next;
    end if;
  end loop;
  _rti_ignored := set_config('role', 'none', true);
end $_rti_{name}$
