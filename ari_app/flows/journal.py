"""Writes a call's facts to PostgreSQL, and keeps the call going when PostgreSQL is away.

Facts are written before they are acted on. A write that fails is logged and left out, since each later write
has the whole call in it, and the last one, when caller and agent are gone already, is tried again for a
while.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from ari_app.calls.call import Call
from ari_app.calls.offer import Offer
from ari_app.store.calls import CallStore
from ari_app.store.database import StoreError, StoreUnavailable

logger = logging.getLogger(__name__)

#: After a write that failed, calls do not wait for PostgreSQL for so long, s: each would wait in vain.
AWAY_SECONDS = 5.0

#: The last write of a call is tried for so long, and so often, s.
LAST_WRITE_SECONDS = 120.0
LAST_WRITE_PAUSE = 1.0


@dataclass
class Journal:
    """One for all calls."""

    store: CallStore
    _away_until: float = 0.0

    async def save(self, call: Call, *offers: Offer) -> None:
        """Write how things stand. Never raises for PostgreSQL's sake."""
        clock = asyncio.get_running_loop().time
        if clock() < self._away_until:
            return
        try:
            await self.store.save(call, offers)
        except StoreUnavailable as error:
            self._away_until = clock() + AWAY_SECONDS
            logger.error("call %s (%s) goes on, but is not recorded for now: %s", call.id, call.state, error)
        except StoreError as error:
            logger.error("call %s (%s) goes on, but cannot be recorded: %s", call.id, call.state, error)

    async def close(self, call: Call, offers: Sequence[Offer], limit: float = LAST_WRITE_SECONDS) -> None:
        """Write the end of a call, with all its offers, trying for `limit` s. What is lost is in the log."""
        try:
            async with asyncio.timeout(limit):
                while True:
                    if await self._written(call, offers):
                        return
                    await asyncio.sleep(LAST_WRITE_PAUSE)
        except (StoreError, TimeoutError) as error:
            logger.error("the record of call %s is lost (%r): %s", call.id, error, call)
        except asyncio.CancelledError:
            logger.error("the record of call %s is lost (the application stops): %s", call.id, call)
            raise

    async def _written(self, call: Call, offers: Sequence[Offer]) -> bool:
        """False when it should be tried again. Raises StoreError when PostgreSQL will never take it."""
        try:
            await self.store.save(call, offers)
        except StoreUnavailable as error:
            logger.warning("the end of call %s is not recorded yet: %s", call.id, error)
            return False
        return True
