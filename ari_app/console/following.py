"""What a page follows: parts that are drawn anew when something of theirs changes, in one stream for each page.

    return await follow(request, redrawn(request, concerns, draw), …)

A part yields what has changed in it. The stream ends with the session.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from uuid import UUID

from aiohttp import web

from ari_app.console.keys import HUB, STORES
from ari_app.console.live import HEARTBEAT, Fact, Update, stream
from ari_app.console.session import session_of, user_of
from ari_app.store.console.users import Role, User
from ari_app.store.database import StoreError

logger = logging.getLogger(__name__)

Part = AsyncGenerator[Update]

#: A part waits so long for more changes before it is drawn anew, s.
CALM_SECONDS = 0.05

#: A part is looked at anyhow so often, s, and again so long after PostgreSQL was away.
LOOK_SECONDS = 60.0
AWAY_SECONDS = 2.0

#: Updates that wait for a slow browser; more make the parts wait.
WAITING = 16


@dataclass(frozen=True)
class Drawn:
    """A part as it is now."""

    updates: Iterable[Update]
    seconds: float | None = None
    "It changes by itself after so long, s."


async def redrawn(
    request: web.Request, concerns: Callable[[Fact], bool], draw: Callable[[], Awaitable[Drawn]]
) -> AsyncGenerator[Update]:
    """A part that is drawn whenever a fact concerns it, and told where it differs."""
    sent: dict[str, str] = {}
    with request.app[HUB].subscribe() as facts:
        while True:
            try:
                drawn = await draw()
            except StoreError as error:
                logger.warning("%s stands still for now: %s", request.path, error)
                drawn = Drawn((), AWAY_SECONDS)
            for update in drawn.updates:
                if sent.get(update.target) != update.html:
                    sent[update.target] = update.html
                    yield update
            deadline = asyncio.get_running_loop().time() + (LOOK_SECONDS if drawn.seconds is None else drawn.seconds)
            while (left := deadline - asyncio.get_running_loop().time()) > 0:
                try:
                    fact = await facts.next(left)
                except TimeoutError:
                    break
                if fact is None:
                    return
                if fact.missed or concerns(fact):
                    await asyncio.sleep(CALM_SECONDS)
                    facts.drained()
                    break


async def follow(request: web.Request, *parts: Part) -> web.StreamResponse:
    """Send what the parts yield until one ends, the browser goes, or the session is over."""
    updates: asyncio.Queue[Update | None] = asyncio.Queue(WAITING)
    tasks = [asyncio.create_task(_pump(part, updates)) for part in parts]
    try:
        return await stream(request, _merged(request, updates))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _pump(part: Part, updates: "asyncio.Queue[Update | None]") -> None:
    try:
        async with aclosing(part):
            async for update in part:
                await updates.put(update)
    except Exception:
        logger.exception("a part of a live page fails by a fault of ours: its stream ends")
    await updates.put(None)


async def _merged(request: web.Request, updates: "asyncio.Queue[Update | None]") -> AsyncIterator[Update | None]:
    """What the parts yield, and None now and then for the line's sake."""
    clock = asyncio.get_running_loop().time
    look_at = clock() + HEARTBEAT
    while True:
        try:
            async with asyncio.timeout(max(0.0, look_at - clock())):
                update = await updates.get()
        except TimeoutError:
            if not await _may_stay(request):
                return
            look_at = clock() + HEARTBEAT
            yield None
            continue
        if update is None:
            return
        yield update


async def _may_stay(request: web.Request) -> bool:
    """Whether the session is still open, and the user as when the page was asked for; else the browser comes again."""
    stores, user = request.app[STORES], user_of(request)
    try:
        if not await stores.sessions.is_open(session_of(request).token_hash):
            return False
        now = await stores.users.find(user.id)
    except StoreError as error:
        logger.debug("%s: nobody knows whether the session is still open: %s", request.path, error)
        return True
    return now is not None and now.enabled and (now.role, now.groups, now.agent_id) == _rights(user)


def _rights(user: User) -> tuple[Role, tuple[str, ...], UUID | None]:
    return user.role, user.groups, user.agent_id
