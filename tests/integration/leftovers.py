"""What is left when calls are over: nothing."""

import asyncio
from pathlib import Path

import aiohttp

from ari_app.runtime.stack import Stack

#: How many more connections than before may be kept for reuse; fifty calls that leave one each are many more.
KEPT_CONNECTIONS = 8


async def holdings(stack: Stack) -> dict[str, int]:
    """What the bridge process holds: file descriptors, tasks, subscriptions."""
    async with aiohttp.ClientSession() as session, session.get(stack.webhook_url.replace("webhook", "ready")) as reply:
        ready = await reply.json()
    descriptors = len(list(Path(f"/proc/{stack.bridge.pid}/fd").iterdir()))
    return {"descriptors": descriptors, "tasks": ready["tasks"], "subscriptions": ready["subscriptions"]}


async def holds_no_more_than(stack: Stack, before: dict[str, int]) -> None:
    """Wait until the bridge has given back what it took since."""
    # Connections to Meta and PostgreSQL are kept for the next call, now and then one more of them.
    allowed = before | {"descriptors": before["descriptors"] + KEPT_CONNECTIONS}
    async with asyncio.timeout(20):
        while any(now > allowed[what] for what, now in (await holdings(stack)).items()):
            await asyncio.sleep(0.2)


async def nothing_left(stack: Stack) -> None:
    """Asterisk has no channel and no bridge any more."""
    async with asyncio.timeout(10):
        while "0 active channels" not in await stack.asterisk.cli("core show channels"):
            await asyncio.sleep(0.1)
        while len((await stack.asterisk.cli("bridge show all")).strip().splitlines()) > 1:
            await asyncio.sleep(0.1)
