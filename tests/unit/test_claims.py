"""Which identities are alike to policies that read certain claims only."""

import pytest

from realtime_inspector.visibility.claims import owner, part
from realtime_inspector.visibility.reads import ALL

ID = "00000001-0000-0000-0000-000000000000"
SUB, DEEP = frozenset({("sub",)}), frozenset({("a", "b")})


def test_claims_that_nobody_reads_make_no_difference() -> None:
    assert part('{"iat":1,"sub":"x"}', SUB) == part('{"iat":2,"sub":"x"}', SUB) != part('{"iat":1,"sub":"y"}', SUB)
    assert part('{"iat":1}', frozenset()) == part('{"iat":2}', frozenset())
    assert part('{"iat":1}', ALL) != part('{"iat":2}', ALL)


def test_each_of_these_is_something_else() -> None:
    claims = [
        "{}",
        '{"a":null}',
        '{"a":{}}',
        '{"a":{"b":null}}',
        '{"a":{"b":"x"}}',
        '{"a":"x"}',
        '{"a":{"b":1}}',
        '{"a":{"b":1.0}}',
        '{"a":{"b":true}}',
        '{"a":{"b":"1"}}',
        '{"a":[{"b":1}]}',
        '{"a":{"b":{"c":1,"d":2}}}',
        '{"a":{"b":{"d":2,"c":1}}}',
    ]
    assert len({part(each, DEEP) for each in claims}) == len(claims)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"sub":"x","z":"a"}', '{"sub":"x","z":"\\u0000"}'),  # jsonb refuses the second one
        ('{"sub":"y","sub":"x"}', '{"sub":"x","sub":"x"}'),
        ('{"sub":100000000000000000000001}', '{"sub":100000000000000000000002}'),
        ('{"sub":1e2}', '{"sub":100.0}'),
        ('{"sub":"x"}', '{ "sub":"x"}'),
        ("[]", "{}"),
        ("", "{}"),
    ],
)
def test_claims_of_which_not_everything_is_seen_are_like_no_others(one: str, other: str) -> None:
    assert part(one, SUB) != part(other, SUB)


def test_the_owner_of_rows() -> None:
    assert owner(f'{{"sub":"{ID}"}}') == ID
    assert owner('{"sub":null}') == owner("{}") == ""
    assert owner(f'{{"sub":"{{{ID}}}"}}') is owner('{"sub":"ABC"}') is owner('{"sub":5}') is owner("nonsense") is None
