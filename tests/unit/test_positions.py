"""Positions as clients hold them: opaque, equal for all as names of events, of no use to others as resume tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_inspector.model import AFTER, BEFORE, Identity, Position
from realtime_inspector.protocol.positions import CHARACTERS, PositionTokens

SECRET = b"s" * 32
TOKENS = PositionTokens(SECRET, "first")
ALICE = Identity("authenticated", '{"role":"authenticated","sub":"alice","iat":1}')
HERE, LATER = Position(77, 3), Position(78, 0)
positions = st.builds(Position, st.integers(0, 2**64 - 1), st.integers(BEFORE, AFTER))


@given(positions)
def test_a_resume_token_opens_to_the_position_that_was_sealed(position: Position) -> None:
    token = TOKENS.resume_token(position, "realtime:room", ALICE)
    assert len(token) == CHARACTERS
    assert TOKENS.opened(token, "realtime:room", ALICE) == position


@given(positions)
def test_an_event_takes_the_return_further_than_the_join(position: Position) -> None:
    resume = f"{TOKENS.resume_token(HERE, 'realtime:room', ALICE)}.{TOKENS.event_id(position)}"
    assert TOKENS.opened(resume, "realtime:room", ALICE) == max(HERE, position)


@given(positions, st.binary(min_size=6, max_size=6))
def test_a_moment_does_as_well_and_is_never_told_twice(position: Position, nonce: bytes) -> None:
    moment, token = TOKENS.moment(position, nonce), TOKENS.resume_token(HERE, "realtime:room", ALICE)
    assert TOKENS.opened(f"{token}.{moment}", "realtime:room", ALICE) == max(HERE, position)
    assert TOKENS.moment(position, bytes(6 * [nonce[0] ^ 1]))[8:] != moment[8:]


def test_event_ids_are_equal_for_all_and_differ_between_changes() -> None:
    assert TOKENS.event_id(HERE) == PositionTokens(SECRET, "first").event_id(HERE)
    assert len({TOKENS.event_id(Position(lsn, index)) for lsn in range(50) for index in range(50)}) == 2_500


def test_commit_ids_are_equal_for_all_and_differ_between_transactions_and_epochs() -> None:
    assert TOKENS.commit_id(77) == PositionTokens(SECRET, "first").commit_id(77)
    assert len({tokens.commit_id(lsn) for tokens in (TOKENS, PositionTokens(SECRET, "second")) for lsn in range(1_000)}) == 2_000


@given(st.integers(0, 2**64 - 1))
def test_a_commit_id_is_safe_in_json_and_shares_nothing_with_the_names_of_its_events(lsn: int) -> None:
    commit, events = TOKENS.commit_id(lsn), [TOKENS.event_id(Position(lsn, index)) for index in (BEFORE, 0, 1)]
    assert len(commit) == 16
    assert commit.isascii()
    assert commit.replace("-", "").replace("_", "").isalnum()
    assert all(sum(a == b for a, b in zip(commit, event, strict=False)) < 10 for event in events)


def test_neighbours_have_nothing_in_common() -> None:
    first, second = TOKENS.event_id(Position(1 << 40, 7)), TOKENS.event_id(Position(1 << 40, 8))
    assert sum(a == b for a, b in zip(first, second, strict=True)) < CHARACTERS // 2


@pytest.mark.parametrize(
    ("topic", "identity"),
    [
        ("realtime:other", ALICE),
        ("realtime:room", Identity("authenticated", '{"sub":"bob"}')),
        ("realtime:room", Identity("service_role", ALICE.claims)),
        ("realtime:room", Identity("authenticated", "{}")),
    ],
)
def test_a_resume_token_is_of_no_use_elsewhere(topic: str, identity: Identity) -> None:
    assert TOKENS.opened(TOKENS.resume_token(HERE, "realtime:room", ALICE), topic, identity) is None


def test_a_renewed_token_of_the_same_user_returns() -> None:
    renewed = Identity("authenticated", '{"role":"authenticated","sub":"alice","iat":99}')
    assert TOKENS.opened(TOKENS.resume_token(HERE, "realtime:room", ALICE), "realtime:room", renewed) == HERE


def test_another_epoch_or_secret_opens_nothing() -> None:
    token = TOKENS.resume_token(HERE, "realtime:room", ALICE)
    assert PositionTokens(SECRET, "second").opened(token, "realtime:room", ALICE) is None
    assert PositionTokens(b"t" * 32, "first").opened(token, "realtime:room", ALICE) is None


@given(st.integers(0, CHARACTERS - 1), st.sampled_from("ABCDEFGHabcdefgh0123456789-_"))
def test_a_changed_character_opens_nothing(place: int, character: str) -> None:
    token = TOKENS.resume_token(HERE, "realtime:room", ALICE)
    changed = token[:place] + character + token[place + 1 :]
    # The last character has bits that no byte of the text uses.
    assert TOKENS.opened(changed, "realtime:room", ALICE) in (None, HERE)
    if place < CHARACTERS - 1 and changed != token:
        assert TOKENS.opened(changed, "realtime:room", ALICE) is None


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]{27}(\.[A-Za-z0-9_-]{27})?", fullmatch=True))
def test_nothing_that_a_client_makes_up_opens_or_raises(text: str) -> None:
    assert TOKENS.opened(text, "realtime:room", ALICE) is None


def test_an_event_id_alone_is_no_resume_token() -> None:
    token, event = TOKENS.resume_token(HERE, "realtime:room", ALICE), TOKENS.event_id(LATER)
    assert TOKENS.opened(event, "realtime:room", ALICE) is None
    assert TOKENS.opened(f"{event}.{event}", "realtime:room", ALICE) is None
    assert TOKENS.opened(f"{token}.{event}x", "realtime:room", ALICE) is None
