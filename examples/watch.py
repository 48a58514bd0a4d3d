"""Prints the tweets that the key's owner may see, as they change. pip install realtime; RTI_URL=… RTI_KEY=… python watch.py"""

import asyncio
import os

from realtime import AsyncRealtimeClient, RealtimePostgresChangesListenEvent


async def main() -> None:
    url = os.environ.get("RTI_URL", "http://127.0.0.1:4000")
    client = AsyncRealtimeClient(f"{url}/socket", os.environ["RTI_KEY"])
    channel = client.channel("demo")
    every = RealtimePostgresChangesListenEvent.All
    channel.on_postgres_changes(every, lambda change: print(change["data"], flush=True), table="tweets")
    await channel.subscribe(lambda status, error: print(status.value, error or "", flush=True))
    await asyncio.Event().wait()


asyncio.run(main())
