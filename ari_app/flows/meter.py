"""The money of a running outbound call: more is held while there is some, the agent is warned, the call ends."""

import asyncio
import logging
from datetime import timedelta
from decimal import Decimal

from ari_app.ari import AriError
from ari_app.calls.rates import Rate, reach, reserve
from ari_app.flows.clearance import Terms
from ari_app.flows.talk import EndTalk
from ari_app.flows.visit import Visit
from ari_app.store.billing import Billing, BillingStore
from ari_app.store.database import StoreError

logger = logging.getLogger(__name__)

#: What the agent hears before the money runs out. A channel can be played to while it is in a bridge (22.10.1).
WARNING = "sound:beep"

#: The call is ended so long before its paid time is, s: Meta counts to the end of ours.
MARGIN_SECONDS = 0.5

#: While PostgreSQL is away, nobody can say whether there is money: it is asked again so often, s.
AWAY_SECONDS = 2.0

#: Where another system sets the limit, the agent is warned so long before, s.
LIMIT_WARNING_SECONDS = 15.0


class Meter:
    """Goes along with a visit from the answer to the end. Its clock starts with it."""

    def __init__(self, visit: Visit, store: BillingStore, terms: Terms) -> None:
        self._visit = visit
        self._store = store
        self._began = asyncio.get_running_loop().time()
        self._task = asyncio.create_task(self._watch(terms), name=f"meter-{visit.call.id}")

    def owns(self, channel_id: str) -> bool:
        return False

    async def other_side_changed(self) -> None:
        """Time costs the same, whoever is on the line."""

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled() and (error := self._task.exception()) is not None:
            logger.error("call %s: its money was not looked after: %r", self._visit.call.id, error)

    async def _watch(self, terms: Terms) -> None:
        if terms.billing is not None and terms.rate is not None and terms.billing.end_calls:
            await self._spend(terms.billing, terms.rate)
            self._end("the balance is used up")
        elif terms.limit is not None:
            await self._until(terms.limit - timedelta(seconds=LIMIT_WARNING_SECONDS))
            await self._warn()
            await self._until(terms.limit)
            self._end("the time that could be paid is over")

    async def _spend(self, billing: Billing, rate: Rate) -> None:
        """Returns when the money is used up."""
        pulse = timedelta(seconds=rate.next_pulse_seconds)
        step = timedelta(seconds=billing.reserve_seconds)
        ahead = min(step / 2, timedelta(seconds=30)) + timedelta(seconds=billing.warn_seconds)
        held, warned = reserve(rate, step), False
        while (paid := reach(rate, held)) is not None:
            await self._until(paid - ahead)
            more = await self._hold(reserve(rate, paid + step) - held, reserve(rate, paid + pulse) - held)
            if more is not None:
                held, warned = more, False
                continue
            if not warned and billing.warn_seconds:
                await self._until(paid - timedelta(seconds=billing.warn_seconds))
                await self._warn()
                warned, ahead = True, timedelta(seconds=1)
                continue
            await self._until(paid - timedelta(seconds=MARGIN_SECONDS))
            if (
                more := await self._hold(reserve(rate, paid + step) - held, reserve(rate, paid + pulse) - held)
            ) is None:
                return
            held, warned = more, False

    async def _hold(self, wanted: Decimal, least: Decimal) -> Decimal | None:
        while True:
            try:
                return await self._store.hold(self._visit.call.id, wanted, least)
            except StoreError as error:
                logger.error("call %s goes on, though no money can be held for it: %s", self._visit.call.id, error)
                await asyncio.sleep(AWAY_SECONDS)

    async def _until(self, moment: timedelta) -> None:
        """So long after the answer."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._began + moment.total_seconds() - loop.time())

    async def _warn(self) -> None:
        """To the agent alone; to nobody after a transfer."""
        desk = self._visit.legs.get(self._visit.desk)
        if desk is None:
            return
        try:
            (await desk.play(WARNING)).close()
        except AriError as error:
            logger.info("call %s: no warning could be played: %s", self._visit.call.id, error)

    def _end(self, reason: str) -> None:
        logger.info("call %s: %s", self._visit.call.id, reason)
        self._visit.caller.events.put(EndTalk(reason=reason))
