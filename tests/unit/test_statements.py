"""A text is taken apart where Postgres would take it apart, and what could leave the transaction or the identity is refused."""

import pytest

from realtime_inspector.errors import StatementRefused
from realtime_inspector.identity.statements import LONGEST, MOST_STATEMENTS, split
from realtime_inspector.postgres.audit import LONGEST_DETAIL


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("select 1", ["select 1"]),
        ("select 1;", ["select 1"]),
        (" ; ;select 1; ; -- done;\n ;", ["select 1"]),
        ("select 1; select 2", ["select 1", " select 2"]),
        ("select ';'; select 2", ["select ';'", " select 2"]),
        ("select 'it''s;' ; select 2", ["select 'it''s;' ", " select 2"]),
        (r"select e'\';' ; select 2", [r"select e'\';' ", " select 2"]),
        (r"select 'a\' ; select 2", [r"select 'a\' ", " select 2"]),
        ('select ";" ; select 2', ['select ";" ', " select 2"]),
        ("select $$;$$, $a$ $$;$b$ $a$; select 2", ["select $$;$$, $a$ $$;$b$ $a$", " select 2"]),
        ("select a$b$c ; select 2", ["select a$b$c ", " select 2"]),
        ("select $1 ; select 2", ["select $1 ", " select 2"]),
        ("select 1 /* ; /* ; */ ; */ ; select 2", ["select 1 /* ; /* ; */ ; */ ", " select 2"]),
        ("-- commit;\n/* commit; */ ((select 1))", ["-- commit;\n/* commit; */ ((select 1))"]),
        ("-- commit\rselect 1; -- a\r\nselect 2", ["-- commit\rselect 1", " -- a\r\nselect 2"]),
        ("select ü→$x$ ; select 2 -- $x$", ["select ü→$x$ ", " select 2 -- $x$"]),
        ("select posts_stats from ts_status", ["select posts_stats from ts_status"]),
        ("WiTh x as (select 1) table x", ["WiTh x as (select 1) table x"]),
        ("select 'ü', \"ü\" from ü; values (1)", ["select 'ü', \"ü\" from ü", " values (1)"]),
        ("select 1 as begin_; explain analyze delete from t", ["select 1 as begin_", " explain analyze delete from t"]),
    ],
)
def test_a_text_is_taken_apart(text: str, parts: list[str]) -> None:
    found = split(text)
    assert [statement.text for statement in found] == parts
    assert all(text[statement.start :].startswith(statement.text) for statement in found)


@pytest.mark.parametrize(
    "text",
    [
        *("commit", "COMMIT AND CHAIN", "end", "rollback", "abort", "begin", "start transaction", "savepoint a", "release a"),
        *("rollback to a", "prepare transaction 'x'", "commit prepared 'x'", "set role none", "set local role postgres"),
        *("reset role", "reset all", "set session authorization default", "discard all", "set transaction read write"),
        *(
            "do $$ begin commit; end $$",
            "call p()",
            "copy t to stdout",
            "copy t from program 'id'",
            "execute p",
            "prepare p as select 1",
        ),
        *("create table t ()", "drop table t", "alter role x superuser", "grant a to b", "listen x", "notify x", "lock table t"),
        *("declare c cursor for select 1", "fetch all from c", "load 'x'", "vacuum", "checkpoint", "refresh materialized view v"),
        *("select 1; commit", "select 1;/**/commit", "select 1;--\ncommit", "/* /* */ */ commit", "(commit)", "\ufeffselect 1"),
        *("--\rcommit /*\nselect */", "select 1; --\rdo $$ $$ /*\nselect */", "\u00a0select 1", "--\u2028select 1"),
        *("select query_to_xml('select ' || x)", "select * from TS_STAT('select ' || x)", "select ts_rewrite(a, b)"),
        *("select set_config('role', 'none', true)", 'select "SET_CONFIG"(1)', "select query_to_xml('select set_config(1)')"),
        *(r"select U&'\0073et_config'", 'select U&"x"(1)', "select u&'x'"),
        *("select 'open", 'select "open', "select /* open", "select /* /* */ open", "select 1; select '", r"select e'\'"),
        *("", " ", ";", "-- nothing", "/* nothing */", "1", "'select 1'", '"select" 1', "$$select 1$$", "\x00", "select '\x00'"),
    ],
)
def test_what_is_no_statement_about_rows_is_refused(text: str) -> None:
    with pytest.raises(StatementRefused) as caught:
        split(text)
    assert caught.value.text


def test_there_are_not_too_many_and_not_too_long() -> None:
    assert len(split("select 1;" * MOST_STATEMENTS)) == MOST_STATEMENTS
    for text in ("select 1;" * (MOST_STATEMENTS + 1), "select '" + "x" * LONGEST + "'"):
        with pytest.raises(StatementRefused):
            split(text)


def test_what_is_run_stands_whole_in_the_trail() -> None:
    assert split(f"select 1 -- {'x' * 100}")
    with pytest.raises(StatementRefused):
        split(f"/* {'x' * LONGEST_DETAIL} */ delete from t")
