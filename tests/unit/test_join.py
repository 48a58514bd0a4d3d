"""What a join asks for, whoever wrote it and however it spells."""

import orjson
import pytest

from realtime_inspector.model import LEGACY, Binding, Problem
from realtime_inspector.protocol.join import JoinRequest, Replay, parse_join


def join(**config: object) -> JoinRequest:
    return parse_join({"config": config})


def changes(*entries: object) -> JoinRequest:
    return join(postgres_changes=list(entries))


def wanted(entry: object) -> tuple[str, str, str, str | None, tuple[str, ...] | None]:
    [binding] = changes(entry).bindings
    return binding.event, binding.schema, binding.table, binding.filter, binding.select


def problem(entry: object) -> str:
    request = changes(entry)
    assert request.bindings == ()
    [found] = request.problems
    assert found.hint
    return found.text


def test_a_join_of_realtime_js() -> None:
    request = parse_join(
        {
            "config": {
                "broadcast": {"self": True, "ack": True},
                "presence": {"key": "k1", "enabled": True},
                "postgres_changes": [{"event": "*", "schema": "public", "table": "t"}],
                "private": False,
            },
            "access_token": "JWT",
        }
    )
    assert (request.receives_own, request.ack, request.presence, request.presence_key) == (True, True, True, "k1")
    assert (request.token, request.refusal, request.verdicts) == ("JWT", None, False)
    assert wanted({"event": "*", "schema": "public", "table": "t"}) == ("*", "public", "t", None, None)


@pytest.mark.parametrize(
    "payload",
    [{"config": None}, {"config": []}, {"config": {}}, {"config": {"broadcast": None, "presence": 1}}],
)
def test_what_is_missing_or_misshapen_is_the_default(payload: object) -> None:
    request = parse_join(payload)
    assert request == JoinRequest(
        private=False,
        replay=None,
        replication_ready=False,
        receives_own=False,
        ack=False,
        presence_key="",
        presence=True,
        verdicts=False,
        debug=False,
        resume=None,
        token=None,
        refusal=None,
        echo=(),
        bindings=(),
        problems=(),
    )


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        (True, True),
        ("true", True),
        ("True", True),
        ("1", True),
        (False, False),
        ("False", False),
        (None, False),
        ("yes", False),
        ({}, False),
        (1, False),
    ],
)
def test_booleans_may_be_text(value: object, meaning: bool) -> None:
    request = join(broadcast={"self": value, "ack": value}, verdicts=value)
    assert (request.receives_own, request.ack, request.verdicts) == (meaning, meaning, meaning)


@pytest.mark.parametrize(
    ("presence", "enabled"),
    [
        ({}, True),
        ({"enabled": None}, True),
        ({"enabled": False}, False),
        ({"enabled": "False"}, False),
        ({"enabled": "true"}, True),
        ([], True),
    ],
)
def test_presence_is_on_unless_it_was_turned_off(presence: object, enabled: bool) -> None:
    assert join(presence=presence).presence is enabled


@pytest.mark.parametrize(
    ("key", "text"), [("k", "k"), (7, "7"), (1.5, "1.5"), (None, ""), ("", ""), (True, ""), ([], ""), ({}, "")]
)
def test_a_presence_key_may_be_a_number(key: object, text: str) -> None:
    assert join(presence={"key": key}).presence_key == text


@pytest.mark.parametrize(
    ("payload", "token"),
    [
        ({}, None),
        ({"access_token": "A"}, "A"),
        ({"user_token": "U", "access_token": "A"}, "U"),
        ({"access_token": "sb_publishable_x"}, None),
        ({"user_token": "sb_x", "access_token": "A"}, "A"),
        ({"user_token": None, "access_token": "A"}, "A"),
        ({"access_token": 5}, None),
        ({"access_token": ""}, ""),
    ],
)
def test_which_token_counts(payload: object, token: str | None) -> None:
    assert parse_join(payload).token == token


def code(request: JoinRequest) -> str | None:
    return request.refusal.code if request.refusal else None


@pytest.mark.parametrize("value", [True, "true", "True", 1, "yes", {"a": 1}])
def test_a_private_channel_is_never_taken_for_a_public_one(value: object) -> None:
    assert join(private=value).private


@pytest.mark.parametrize("value", [False, None, "false", "False", 0, "", "0"])
def test_a_public_channel_is_not(value: object) -> None:
    assert code(join(private=value)) is None


def test_what_would_silently_not_happen_is_refused() -> None:
    assert code(join(broadcast={"replay": {"since": 1}})) == "UnableToReplayMessages"
    assert code(join(private=True, broadcast={"replay": {}})) == "UnableToReplayMessages"
    assert code(join(broadcast={"replay": None, "replication_ready": False}, postgres_changes_options={"wait": True})) is None


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"table": "t"}, ("*", "public", "t", None, None)),
        ({"schema": "s"}, ("*", "s", "*", None, None)),
        ({"schema": "*", "table": "*", "event": "*"}, ("*", "*", "*", None, None)),
        ({"event": "insert", "table": "t"}, ("INSERT", "public", "t", None, None)),
        ({"event": "UPSERT", "table": "t"}, ("*", "public", "t", None, None)),
        ({"event": "TRUNCATE", "table": "t"}, ("*", "public", "t", None, None)),
        ({"event": 5, "table": "t"}, ("*", "public", "t", None, None)),
        ({"table": "t", "filter": "id=eq.1"}, ("*", "public", "t", "id=eq.1", None)),
        ({"table": "t", "filter": "  "}, ("*", "public", "t", None, None)),
        ({"table": "t", "filter": None, "select": None}, ("*", "public", "t", None, None)),
        ({"table": "t", "select": ["a", "b"]}, ("*", "public", "t", None, ("a", "b"))),
        ({"table": "t", "select": []}, ("*", "public", "t", None, None)),
        ({"table": 'we"ird, ☃', "schema": "a b"}, ("*", "a b", 'we"ird, ☃', None, None)),
    ],
)
def test_what_an_entry_asks_for(entry: object, expected: object) -> None:
    assert wanted(entry) == expected


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (
            {"event": "*"},
            'No subscription params provided. Please provide at least a `schema` or `table` to subscribe to: {"event":"*"}',
        ),
        ({"table": 5}, "Error parsing `schema` or `table` params"),
        ({"table": "t", "schema": []}, "Error parsing `schema` or `table` params"),
        ({"table": "t\0"}, "Error parsing `schema` or `table` params"),
        ({"table": "t", "filter": ["foo", "hey"]}, "Error parsing `filter` params"),
        ({"table": "t", "filter": "a=eq.\0"}, "Error parsing `filter` params"),
        ({"table": "t", "select": "a"}, "Error parsing `select` params: expected a list of column name strings"),
        ({"table": "t", "select": [1]}, "Error parsing `select` params: expected a list of column name strings"),
        ({"table": "t", "select": {}}, "Error parsing `select` params: expected a list of column name strings"),
        ({"schema": "s", "select": ["a"]}, "Column selection is not supported for wildcard subscriptions."),
        ("text", "An entry of `postgres_changes` is not an object"),
    ],
)
def test_why_an_entry_was_not_understood(entry: object, text: str) -> None:
    assert problem(entry).startswith(text)


def test_the_echo_is_the_clients_entry_and_an_id_at_its_index() -> None:
    kept = {"table": "t", "event": "insert", "filter": "  ", "x": [1]}
    request = changes(kept, None, {"table": 5}, "text", {"schema": "s", "id": "mine"})
    echo = [orjson.loads(entry) for entry in request.echo]
    first, last = request.bindings
    assert [echo[0], echo[1], echo[3], echo[4]] == [{**kept, "id": first.id}, None, "text", {"schema": "s", "id": last.id}]
    assert echo[2] == {"table": 5, "id": echo[2]["id"]}
    assert len({first.id, last.id, echo[2]["id"]}) == 3
    assert all(isinstance(entry["id"], int) for entry in (echo[0], echo[2], echo[4]))


def test_equal_entries_share_an_id_and_are_asked_for_once() -> None:
    request = changes({"table": "t"}, {"schema": "public", "table": "t", "event": "*"}, {"table": 5}, {"table": 5})
    assert len(request.echo) == 4
    assert len(request.bindings) == len(request.problems) == 1
    assert {orjson.loads(entry)["id"] for entry in request.echo[:2]} == {request.bindings[0].id}


def test_an_id_is_the_same_in_every_process() -> None:
    """Frames are shared by all sockets whose ids are equal, and a client that joins again finds its old ids."""
    assert changes({"table": "t"}).bindings == (
        Binding(changes({"table": "other"}, {"table": "t"}).bindings[1].id, "*", "public", "t"),
    )
    assert changes({"event": "*", "schema": "public", "table": "t"}).bindings[0].id == 1070192714


def test_entries_whose_hashes_collide_get_different_ids() -> None:
    first, second = ({"table": "t", "filter": f"id=eq.{number}"} for number in (69698, 73206))  # found by trying
    apart = changes(first).bindings[0].id
    assert changes(second).bindings[0].id == apart
    together = changes(first, second, first)
    assert [binding.id for binding in together.bindings] == [apart, apart + 1]
    assert [orjson.loads(entry)["id"] for entry in together.echo] == [apart, apart + 1, apart]


def test_what_only_the_reply_needed_is_forgotten() -> None:
    request = changes({"table": "t"}, {"table": 5})
    assert request.answered().bindings == request.bindings
    assert (request.answered().echo, request.answered().problems) == ((), ())


def test_a_problem_shows_a_long_entry_shortened() -> None:
    [found] = changes({"event": "x" * 10_000}).problems
    assert isinstance(found, Problem)
    assert len(found.text) < 400


@pytest.mark.parametrize("payload", [None, {}, [], "x", 1, {"access_token": "A"}])
@pytest.mark.parametrize(
    ("topic", "schema", "table", "condition"),
    [
        ("realtime:public", "public", "*", None),
        ("realtime:*", "*", "*", None),
        ("realtime:public:users", "public", "users", None),
        ("realtime:public:users:", "public", "users", None),
        ("realtime:public:users:name=eq.a:b", "public", "users", "name=eq.a:b"),
        ("realtime:", "*", "*", None),
    ],
)
def test_without_config_the_topic_is_the_subscription(
    payload: object, topic: str, schema: str, table: str, condition: str | None
) -> None:
    request = parse_join(payload, topic)
    assert request.bindings == (Binding(LEGACY, "*", schema, table, condition),)
    assert (request.echo, request.refusal, request.presence) == ((), None, True)


@pytest.mark.parametrize(
    ("asked", "replay"),
    [
        ({"since": 0}, Replay(0, 25)),
        ({"since": 1_700_000_000_000, "limit": 3}, Replay(1_700_000_000_000, 3)),
        ({"since": 5, "limit": 0}, Replay(5, 1)),
        ({"since": 5, "limit": 1_000}, Replay(5, 25)),
        ({"limit": 3}, None),
        ({"since": "5"}, None),
        ({"since": True}, None),
        ({"since": 1.5}, None),
        ({"since": -1}, None),
        ({"since": 1 << 60}, None),
        ({"since": 5, "limit": "3"}, None),
        ({"since": 5, "limit": -1}, None),
        ("yesterday", None),
        ([], None),
    ],
)
def test_what_can_be_replayed(asked: object, replay: Replay | None) -> None:
    request = join(private=True, broadcast={"replay": asked})
    assert request.replay == replay
    assert (request.refusal is None) == (replay is not None)
    assert request.answered().replay is None


@pytest.mark.parametrize(
    "options",
    [True, "wait", [], {"wait": "soon"}, {"wait": 1}, {"wait": []}, {"timeout": "5"}, {"timeout": -1}, {"timeout": True}],
)
def test_options_that_cannot_be_understood_are_told_and_change_nothing(options: object) -> None:
    asked = join(postgres_changes=[{"table": "t"}], postgres_changes_options=options)
    assert [problem.text.split(":")[0] for problem in asked.problems] == ["Error parsing `postgres_changes_options` params"]
    assert len(asked.bindings) == 1
    assert asked.refusal is None


@pytest.mark.parametrize(
    "options", [None, {}, {"wait": False}, {"wait": "True", "timeout": 15000}, {"wait": None, "timeout": None}]
)
def test_options_that_are_understood(options: object) -> None:
    assert join(postgres_changes_options=options).problems == ()
