"""Asks Meta whether users may be called: the worker behind `whatsapp.permissions.check_wanted_at`.

Several bridges may ask the same at once; that costs a request and changes nothing.
"""

import asyncio
import collections
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from whatsapp_bridge.meta import call_permissions
from whatsapp_bridge.meta.graph import GraphClient, GraphError, GraphRefused
from whatsapp_bridge.meta.invitations import utc_now
from whatsapp_bridge.meta.permission_message import THROTTLED
from whatsapp_bridge.permission_store import PermissionStore

logger = logging.getLogger(__name__)

#: Meta's reference says 5 queries a second, its guide 100: the smaller number is kept.
A_SECOND = 5
#: A question that has had no answer for so long is answered with the error.
GIVE_UP_AFTER = timedelta(seconds=60)
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
#: Taken from the database at once.
BATCH = 50


class PermissionChecks:
    """`work` is one round. `now` is a clock for tests."""

    def __init__(self, store: PermissionStore, graph: GraphClient, now: Callable[[], datetime] = utc_now) -> None:
        self._store, self._graph, self._now = store, graph, now
        self._asked: collections.deque[float] = collections.deque(maxlen=A_SECOND)
        self._failures, self._not_before = 0, 0.0

    async def work(self) -> float | None:
        """Ask for everybody who is wanted. In how many seconds to ask again, None if nobody waits."""
        loop = asyncio.get_running_loop()
        if (wait := self._not_before - loop.time()) > 0:
            return wait
        while wanted := await self._store.wanted_checks(BATCH):
            for number, user, since in wanted:
                if not await self._ask(number, user, since):
                    pause = min(FIRST_PAUSE * 2.0 ** min(self._failures - 1, 10), LONGEST_PAUSE)
                    self._not_before = loop.time() + pause
                    return pause
        return None

    async def _ask(self, number: str, user: str, since: datetime) -> bool:
        """False if Meta wants to be left alone for a while."""
        await self._pace()
        asked_at = self._now()
        try:
            reply = await self._graph.of_number(
                "GET", number, "call_permissions", query=call_permissions.query_of(user)
            )
        except GraphError as error:
            return await self._failed(number, user, since, error)
        self._failures = 0
        await self._store.checked(number, user, since, asked_at, call_permissions.read(reply))
        return True

    async def _failed(self, number: str, user: str, since: datetime, error: GraphError) -> bool:
        final = isinstance(error, GraphRefused) and error.status != 429 and error.code not in THROTTLED
        again = not final and self._now() - since < GIVE_UP_AFTER
        if not self._failures:
            logger.warning("permission of a user is not known: %s", error)
        await self._store.not_checked(number, user, since, error.text, again=again)
        if final:
            return True
        self._failures += 1
        return False

    async def _pace(self) -> None:
        loop = asyncio.get_running_loop()
        if len(self._asked) == A_SECOND and (wait := self._asked[0] + 1 - loop.time()) > 0:
            await asyncio.sleep(wait)
        self._asked.append(loop.time())
