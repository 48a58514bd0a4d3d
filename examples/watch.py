"""Prints the tweets that the key's owner may see, as they change. pip install realtime; RTI_URL=… RTI_KEY=… python watch.py"""

import asyncio
import os

from realtime import AsyncRealtimeClient, RealtimePostgresChangesListenEvent


def show(change: dict) -> None:
    data = change["data"]
    print(data["type"].value, data.get("record") or data["old_record"], flush=True)


async def main() -> None:
    url = os.environ.get("RTI_URL", "http://127.0.0.1:4000")
    client = AsyncRealtimeClient(f"{url}/socket", os.environ["RTI_KEY"])
    channel = client.channel("demo")
    channel.on_postgres_changes(RealtimePostgresChangesListenEvent.All, show, table="tweets")
    await channel.subscribe(lambda status, error: print(status.value, error or "", flush=True))
    await asyncio.Event().wait()


asyncio.run(main())
