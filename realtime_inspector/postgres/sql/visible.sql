-- Decides, for many identities, which of the wanted rows each may see. What stands in braces is filled in per question, and the
-- function is created in the evaluator's temporary schema. One SQL statement over all identities would compute (select auth.uid())
-- once and leak the first one's answer. SECURITY INVOKER: SET ROLE is refused in a definer function.
-- Each identity is asked in a subtransaction that is rolled back: no setting that a policy makes outlives its own identity.
-- Everything of ours is qualified: the search_path is the application's, and whoever may create objects there must not answer for us.
-- Policies that are plain ($5: they run no unknown code) can set nothing: of those, many identities are asked in one subtransaction,
-- and one by one only where something raises.
-- Who took long is named also if it sees nothing.
-- RTI01 says that somebody else would be asked than was meant to be, or with the right to write: a fault of ours, which ends the
-- statement. It is raised outside of the subtransactions, so that a policy cannot raise it in our place.
-- When a policy raises, the identity is asked again row by row, so that one bad row does not hide the others.
create or replace function pg_temp.{name}(_rti_wanted {type}[], _rti_roles text[], _rti_claims text[], _rti_patient boolean, _rti_plain boolean)
returns table (_rti_identity int, _rti_everything boolean, _rti_visible {result}[], _rti_raised int[], _rti_error text, _rti_slow boolean)
language plpgsql set plan_cache_mode = {planning} as $_rti_{name}$
#variable_conflict use_column
declare
  _rti_size int := pg_catalog.cardinality($1);
  _rti_allowed interval := pg_catalog.current_setting('statement_timeout')::pg_catalog.interval;
  _rti_began timestamptz;
  _rti_asked int := 1; -- the time limit may strike before the first one is asked
  _rti_ignored text;
  _rti_some {type}[];
  _rti_seen {result}[];
  _rti_first int;
  _rti_last int;
  _rti_many int := pg_catalog.cardinality($2);
  _rti_k int := 1;
  _rti_to int := 0;
  _rti_all {result}[];
  _rti_counts int[];
  _rti_taken int;
  _rti_wrong boolean := pg_catalog.current_setting('transaction_read_only') operator(pg_catalog.<>) 'on';
begin
  if _rti_wrong then
    raise sqlstate 'RTI01';
  end if;
  while _rti_k <= _rti_many loop
    if $5 and _rti_to < _rti_k then
      _rti_asked := _rti_k;
      _rti_began := pg_catalog.clock_timestamp();
      _rti_to := least(_rti_k + 99, _rti_many);
      _rti_some := $1;
      _rti_first := 1;
      _rti_all := array[]::{result}[];
      _rti_counts := array[]::int[];
      begin
        for _rti_each in _rti_k .. _rti_to loop
          if _rti_each = _rti_k or $2[_rti_each] operator(pg_catalog.<>) $2[_rti_each - 1] then
            if $2[_rti_each] operator(pg_catalog.=) 'none' then
              raise insufficient_privilege;
            end if;
            _rti_ignored := pg_catalog.set_config('role', $2[_rti_each], true);
          end if;
          _rti_ignored := pg_catalog.set_config('request.jwt.claims', $3[_rti_each], true);
          _rti_seen := null;
          if _rti_size = 1 then
            {lone}
          else
            {query}
          end if;
          _rti_counts := pg_catalog.array_append(_rti_counts, coalesce(pg_catalog.cardinality(_rti_seen), 0));
          if _rti_seen is not null then
            _rti_all := _rti_all operator(pg_catalog.||) _rti_seen;
          end if;
        end loop;
        _rti_wrong := current_user operator(pg_catalog.<>) $2[_rti_to]
          or pg_catalog.current_setting('request.jwt.claims') operator(pg_catalog.<>) $3[_rti_to];
        raise sqlstate 'RTI00';
      exception
        when sqlstate 'RTI00' then
          if _rti_wrong then raise sqlstate 'RTI01'; end if;
          _rti_taken := 0;
          _rti_raised := null;
          _rti_error := null;
          for _rti_each in 1 .. pg_catalog.cardinality(_rti_counts) loop
            if _rti_counts[_rti_each] > 0 then
              _rti_identity := _rti_k + _rti_each - 1;
              _rti_everything := _rti_counts[_rti_each] = _rti_size;
              _rti_visible := case when not _rti_everything then _rti_all[_rti_taken + 1 : _rti_taken + _rti_counts[_rti_each]] end;
              _rti_taken := _rti_taken + _rti_counts[_rti_each];
              return next;
            end if;
          end loop;
          _rti_k := _rti_to + 1;
        when others or assert_failure then
          if $4 and (sqlstate = '55P03' or pg_catalog.left(sqlstate, 2) in ('40', '53')) then raise; end if;
      end;
      continue;
    end if;
    _rti_began := pg_catalog.clock_timestamp();
    _rti_asked := _rti_k;
    _rti_visible := null;
    _rti_raised := null;
    _rti_error := null;
    _rti_first := 1;
    _rti_last := _rti_size;
    while _rti_first <= _rti_size loop
      _rti_some := $1[_rti_first : _rti_last];
      _rti_seen := null;
      begin
        if $2[_rti_k] operator(pg_catalog.=) 'none' then
          raise insufficient_privilege; -- SET ROLE none would be us ourselves
        end if;
        _rti_ignored := pg_catalog.set_config('role', $2[_rti_k], true);
        _rti_ignored := pg_catalog.set_config('request.jwt.claims', $3[_rti_k], true);
        _rti_wrong := current_user operator(pg_catalog.<>) $2[_rti_k]
          or pg_catalog.current_setting('request.jwt.claims') operator(pg_catalog.<>) $3[_rti_k];
        if _rti_wrong then
          raise insufficient_privilege;
        end if;
        {query}
        raise sqlstate 'RTI00';
      exception
        when sqlstate 'RTI00' then
          _rti_visible := _rti_visible operator(pg_catalog.||) _rti_seen;
          _rti_first := _rti_last + 1;
          _rti_last := _rti_first;
        when others or assert_failure then
          if _rti_wrong then raise sqlstate 'RTI01'; end if;
          -- not the policy's fault, as long as it passes: the whole batch is asked again
          if $4 and (sqlstate = '55P03' or pg_catalog.left(sqlstate, 2) in ('40', '53')) then raise; end if;
          -- only the code: the text may hold another row's data
          _rti_error := sqlstate;
          if _rti_first = _rti_last then
            _rti_raised := _rti_raised operator(pg_catalog.||) _rti_first;
            _rti_first := _rti_first + 1;
          end if;
          _rti_last := _rti_first;
      end;
      if pg_catalog.clock_timestamp() - pg_catalog.statement_timestamp() > _rti_allowed operator(pg_catalog.*) 0.9::float8 then
        raise query_canceled; -- Postgres stops a statement once and no more, and a policy can catch that
      end if;
    end loop;
    _rti_slow := pg_catalog.clock_timestamp() operator(pg_catalog.-) _rti_began operator(pg_catalog.>) interval '{slow} ms';
    if _rti_visible is not null or _rti_raised is not null or _rti_slow then
      _rti_identity := _rti_k;
      _rti_everything := coalesce(pg_catalog.cardinality(_rti_visible) = _rti_size, false);
      if _rti_everything then
        _rti_visible := null;
      end if;
      return next;
    end if;
    _rti_k := _rti_k + 1;
  end loop;
exception when query_canceled then
  -- The rest has to be asked anew. To blame is who took most of the time.
  _rti_identity := _rti_asked;
  _rti_everything := pg_catalog.clock_timestamp() - _rti_began > _rti_allowed operator(pg_catalog./) 2;
  _rti_visible := null;
  _rti_raised := null;
  _rti_error := sqlstate;
  return next;
end $_rti_{name}$
