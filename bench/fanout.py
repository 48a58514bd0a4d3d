"""CPU of the server per delivered broadcast: many sockets on one topic, one and several messages in flight."""

import argparse
import time
from dataclasses import dataclass, field

import orjson

from bench.load import Crowd, Process, masked, prepare_client, server
from bench.report import Figure
from bench.service import SECRET
from realtime_inspector.identity.tokens import sign
from realtime_inspector.protocol.broadcast import Broadcast, Encoding
from realtime_inspector.protocol.frames import broadcast_frames, split_frames
from realtime_inspector.protocol.serializer import Serializer

TOPIC = "realtime:bench"
USER_MESSAGE = orjson.dumps({"type": "broadcast", "event": "tick", "payload": {"text": "x" * 100}})
GOALS = {1: (7.0, 0.5), 4: (2.0, 0.2)}
"""Messages in flight -> µs per delivered message, and ratio to the reference."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sockets", type=int, default=1_000)
    parser.add_argument("--blocks", type=int, default=40, help="the servers take turns; the least disturbed block counts")
    parser.add_argument(
        "--rounds", type=int, default=5, help="rounds in a block; in each, all messages in flight arrive everywhere"
    )
    parser.add_argument("--loop", default="asyncio", choices=["asyncio", "uvloop"], help="the event loop of both servers")


@dataclass(slots=True)
class Side:
    """One server with its crowd, and what each of its blocks cost: messages in flight -> µs of CPU per delivered message."""

    process: Process
    crowd: Crowd
    sent: bytes
    delivered: int
    costs: dict[int, list[float]] = field(default_factory=dict)

    def block(self, in_flight: int, rounds: int) -> None:
        messages = in_flight * rounds * len(self.crowd)
        before = self.process.cpu_seconds
        for _ in range(rounds):
            self.crowd.exchange(self.sent * in_flight, in_flight * len(self.crowd), self.delivered)
        self.costs.setdefault(in_flight, []).append((self.process.cpu_seconds - before) / messages * 1e6)


def measure(arguments: argparse.Namespace) -> list[Figure]:
    """Both servers run all the time and take turns, so that what else the machine does meets both.

    Disturbance only adds: of each side the cheapest block counts, as timeit does it.
    """
    prepare_client(2 * arguments.sockets)
    frame = broadcast_frames(Broadcast("tick", USER_MESSAGE, Encoding.WRAPPED), TOPIC)[Serializer.V2]
    assert frame is not None
    ((_, text),) = split_frames(frame)
    with server("bench.service", arguments.loop) as service, server("bench.reference", arguments.loop) as reference:
        sides = (
            Side(service, _our_crowd(service.port, arguments.sockets), masked(_push()), len(frame)),
            Side(reference, Crowd(reference.port, "/", arguments.sockets), masked(text), len(frame)),
        )
        for side in sides:
            side.block(1, arguments.rounds)  # warms up
            side.costs.clear()
        for in_flight in GOALS:
            for _ in range(arguments.blocks):
                for side in sides:
                    side.block(in_flight, arguments.rounds)
                time.sleep(0.05)
        for side in sides:
            side.crowd.close()
    return [_figure(in_flight, *sides, arguments) for in_flight in GOALS]


def _figure(in_flight: int, ours: Side, reference: Side, arguments: argparse.Namespace) -> Figure:
    goal, goal_ratio = GOALS[in_flight]
    return Figure(
        f"broadcast to {arguments.sockets} sockets, {in_flight} in flight, {ours.delivered} B",
        "µs CPU/delivery",
        min(ours.costs[in_flight]),
        min(reference.costs[in_flight]),
        "starlette + uvicorn send_text",
        goal,
        goal_ratio,
    )


def _our_crowd(port: int, size: int) -> Crowd:
    return Crowd(port, socket_path(), size, lambda _: join(TOPIC))


def socket_path() -> str:
    """Where a client with an anon token connects."""
    token = sign({"role": "anon", "exp": time.time() + 3_600}, SECRET)
    return f"/socket/websocket?vsn=2.0.0&apikey={token}"


def join(topic: str) -> bytes:
    """Joins a topic for broadcasts alone, one's own included."""
    config = {"broadcast": {"self": True}, "presence": {"enabled": False}}
    return orjson.dumps(["1", "1", topic, "phx_join", {"config": config}])


def _push() -> bytes:
    return orjson.dumps(["1", "2", TOPIC, "broadcast", orjson.Fragment(USER_MESSAGE)])
