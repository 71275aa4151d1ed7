"""This application among others on one database: it shows that it is there, and ends calls of those that are not."""

import asyncio
import logging
import uuid
from collections.abc import Collection
from uuid import UUID

from ari_app.flows.entrance import now
from ari_app.store.calls import CallStore
from ari_app.store.database import StoreError
from ari_app.store.nodes import NodeStore

logger = logging.getLogger(__name__)

#: So often it says that it is there, and looks for others, s.
BEAT_SECONDS = 30.0

#: The calls of a node that was not seen for so long, s, are over: whoever has PostgreSQL away for a minute is there.
ABSENT_SECONDS = 300.0


class Node:
    """One for each process; `run` it in a task of its own."""

    def __init__(self, name: str, nodes: NodeStore, calls: CallStore) -> None:
        self.name = name
        self._run = uuid.uuid4()
        self._nodes = nodes
        self._calls = calls

    async def begin(self, adopted: Collection[UUID] = ()) -> None:
        """Take the name, and end in the records what a predecessor of that name left open, but for adopted calls.
        Raises StoreError.
        """
        if await self._nodes.begin(self.name, self._run):
            logger.warning(
                "another application called %s was here seconds ago. If it still runs, give each its own name: "
                "[app] node",
                self.name,
            )
        count = 0
        for name in (self.name, ""):
            count += await self._calls.end_left_by(name, "the application was restarted", now(), adopted)
        if count:
            logger.warning("%d calls that a predecessor left open in the records are ended", count)
        await self._end_calls_of_the_absent()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                await self._nodes.beat(self.name, self._run)
                await self._end_calls_of_the_absent()
            except StoreError as error:
                logger.warning("other applications cannot see this one for now: %s", error)

    async def _end_calls_of_the_absent(self) -> None:
        for name in await self._nodes.absent(ABSENT_SECONDS):
            count = await self._calls.end_left_by(name, "the application that had the call is gone", now())
            logger.warning("application %r is gone: its %d open calls are ended in the records", name, count)
