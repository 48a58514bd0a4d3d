"""Drives the official Python client: commands as lines of JSON in, everything that the client's callbacks say as lines out.

Runs in the client's own environment; the words are explained in tests/wire/clients/driver.py.
"""

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2] / "clients"))
from realtime import AsyncRealtimeChannel, AsyncRealtimeClient, RealtimePostgresChangesListenEvent
from resuming import ResumingClient

DEFAULTS = {"broadcast": {"ack": False, "self": False}, "presence": {"key": "", "enabled": False}, "private": False}
clients: dict[str, AsyncRealtimeClient] = {}
channels: dict[str, AsyncRealtimeChannel] = {}
running: set[asyncio.Task[None]] = set()


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


class Complaints(logging.Handler):
    """What the client says about frames that it throws away, which no callback ever hears of."""

    def emit(self, record: logging.LogRecord) -> None:
        if "Unrecognized message format" in record.getMessage():
            say({"complaint": record.getMessage()})


async def open_client(client: str, url: str, key: str, token: str | None, resumes: bool, patient: bool) -> None:
    kind = ResumingClient if resumes else AsyncRealtimeClient
    clients[client] = kind(f"{url}/socket", key, max_retries=40 if patient else 2, initial_backoff=0.1)
    if token:
        await clients[client].set_auth(token)


async def authenticate(client: str, token: str) -> None:
    await clients[client].set_auth(token)


async def join(
    client: str, channel: str, name: str, config: dict[str, Any], changes: list[dict[str, Any]], presence: bool
) -> None:
    made = clients[client].channel(name, {"config": DEFAULTS | config})

    def tell(kind: str, **heard: Any) -> None:
        say({"channel": channel, "kind": kind, "heard": heard})

    for binding, wanted in enumerate(changes):

        def changed(payload: Any, binding: int = binding) -> None:
            data = payload["data"]
            tell(
                "change",
                binding=binding,
                event=data["type"],
                schema=data["schema"],
                table=data["table"],
                record=data.get("record", {}),
                old_record=data.get("old_record", {}),
                errors=data["errors"],
                commit_timestamp=data["commit_timestamp"],
            )

        event = RealtimePostgresChangesListenEvent(wanted["event"])
        made.on_postgres_changes(event, changed, **{name: value for name, value in wanted.items() if name != "event"})
    made.on_broadcast("*", lambda heard: tell("broadcast", event=heard["event"], payload=heard["payload"]))
    made.on_system(lambda message: tell("system", **message.model_dump()))
    if presence:
        made.on_presence_sync(lambda: tell("presence", event="sync", state=made.presence_state()))
        made.on_presence_join(lambda key, _, metas: tell("presence", event="join", key=key, metas=metas))
        made.on_presence_leave(lambda key, _, metas: tell("presence", event="leave", key=key, metas=metas))
    channels[channel] = made

    async def subscribe() -> None:
        try:
            await made.subscribe(lambda status, error: tell("status", status=status.value, error=error and str(error)))
        except Exception as error:
            tell("status", status="CHANNEL_ERROR", error=str(error))

    start(subscribe())


async def send(channel: str, event: str, payload: Any) -> None:
    await channels[channel].send_broadcast(event, payload)


async def track(channel: str, payload: dict[str, Any]) -> None:
    await channels[channel].track(payload)


async def untrack(channel: str) -> None:
    await channels[channel].untrack()


async def state(channel: str) -> Any:
    return channels[channel].presence_state()


async def leave(channel: str) -> None:
    await channels[channel].unsubscribe()


async def close(client: str) -> None:
    socket = clients.pop(client)
    for channel in list(socket.channels.values()):
        channel.rejoin_timer.reset()
    await socket.close()


COMMANDS = {
    "open": open_client,
    "authenticate": authenticate,
    "join": join,
    "send": send,
    "track": track,
    "untrack": untrack,
    "state": state,
    "leave": leave,
    "close": close,
}


async def answer(id: int, command: str, words: dict[str, Any]) -> None:
    try:
        say({"id": id, "value": await COMMANDS[command](**words)})
    except Exception as error:
        say({"id": id, "error": repr(error)})


def start(work: Any) -> None:
    task = asyncio.create_task(work)
    running.add(task)
    task.add_done_callback(running.discard)


async def main() -> None:
    logging.getLogger("realtime").addHandler(Complaints())
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        words = json.loads(line)
        start(answer(words.pop("id"), words.pop("command"), words))


asyncio.run(main())
