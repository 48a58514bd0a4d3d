"""Whose policies are not waited for."""

from realtime_inspector.model import Identity
from realtime_inspector.pipeline.pace import WAITS, Asked, Pace


def asked(who: int, function: str = "visible_notes", role: str = "authenticated") -> Asked:
    return function, role, str(who)


def noted(pace: Pace, *who: int, slow: bool, waits: int = 0) -> None:
    for each in who:
        pace.note(asked(each), [Identity("authenticated", str(each))], slow=slow, waits=waits)


def test_policies_that_were_waited_for_often_enough_are_waited_for_by_nobody_who_was_not_found_quick_since() -> None:
    pace = Pace()
    noted(pace, *range(WAITS - 1), slow=True, waits=1)
    assert not pace.is_slow(asked(9))
    noted(pace, WAITS, slow=True, waits=1)
    noted(pace, 9, slow=False)
    assert [pace.is_slow(asked(who)) for who in (0, WAITS, 9, 10)] == [True, True, False, True]
    assert [pace.is_slow(each) for each in (asked(10, "visible_other"), asked(10, role="anon"))] == [False, False]


def test_one_who_was_quick_and_is_waited_for_makes_everybody_doubtful_again() -> None:
    pace = Pace()
    noted(pace, *range(WAITS), slow=True, waits=1)
    noted(pace, 8, 9, slow=False)
    noted(pace, 8, slow=True, waits=1)
    assert pace.is_slow(asked(9))


def test_who_is_slow_where_nobody_waits_casts_no_doubt_on_others() -> None:
    pace = Pace()
    noted(pace, *range(2 * WAITS), slow=True)
    assert not pace.is_slow(asked(9))
    assert pace.concerns(Identity("authenticated", "0"))
