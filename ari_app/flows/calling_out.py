"""Outbound calls of this process: those that agents dial, and those that somebody wants them to make.

The dialplan (`extensions_whatsapp_out.conf`) says `Stasis(asterisk-whatsapp,outbound,<dialled>[,<business number>])`.
Which agent calls, only the channel's endpoint says: a caller id can be set to anything.
"""

import asyncio
import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from ari_app.ari import AriError, Channel, NotFound
from ari_app.ari.events import StasisStart
from ari_app.calls.call import Call, ChannelType, Direction, State
from ari_app.calls.caller import Caller, clean_number
from ari_app.calls.offer import TEMPORARY_FAILURE, Agent
from ari_app.flows.clearance import Errand
from ari_app.flows.entrance import now
from ari_app.flows.facts import FACTS
from ari_app.flows.feature_codes import endpoint_of
from ari_app.flows.inbound import conclude
from ari_app.flows.legs import CallerLeg
from ari_app.flows.outgoing import Begun, OutgoingCall, Switchroom
from ari_app.flows.settlement import settle_due
from ari_app.flows.visit import Services, Visit
from ari_app.flows.worker import keep_working
from ari_app.store.database import StoreError

logger = logging.getLogger(__name__)

#: First argument with which such a channel enters the application.
OUTBOUND = "outbound"

#: Calls whose account is still open are looked for so often, s; a call that ends is settled at once.
SETTLE_SECONDS = 30.0


@dataclass(frozen=True)
class Order:
    """Whom to call, and with which number."""

    dialled: str
    named: str | None = None


class CallingOut:
    """One for all outbound calls of the process."""

    def __init__(self, services: Services, room: Switchroom) -> None:
        self.services = services
        self.room = room
        self._visits: dict[UUID, Visit] = {}
        self._legs: set[str] = set()
        self._unsettled = asyncio.Event()
        room.facts.wake(FACTS, "call:", self._unsettled.set)

    def owns(self, channel_id: str) -> bool:
        """Whether a channel in the application is a leg of such a call."""
        return channel_id in self._legs or any(visit.owns(channel_id) for visit in self._visits.values())

    def visit(self, call: UUID) -> Visit | None:
        """A call of this process."""
        return self._visits.get(call)

    @contextmanager
    def leg(self, channel_id: str) -> Iterator[None]:
        """A channel that is about to become a leg."""
        self._legs.add(channel_id)
        try:
            yield
        finally:
            self._legs.discard(channel_id)

    async def dialled(self, start: StasisStart, channel: Channel) -> None:
        """An agent has dialled. Nothing that goes wrong leaves this."""
        leg = CallerLeg(self.services.ari, channel)
        try:
            with self.leg(channel.id):
                endpoint = endpoint_of(start.channel.name)
                argument = (*start.args[1:3], "", "")
                order = Order(argument[0] or start.channel.dialplan.exten, clean_number(argument[1]) or None)
                await self.call(leg, await self._agent_at(endpoint), order)
        except Exception:
            logger.exception("channel %s could not be served", channel.id)
            await self._hang_up(channel)
        finally:
            leg.close()

    async def call(self, leg: CallerLeg, agent: Agent | None, order: Order, begun: Begun | None = None) -> Call:
        """Let an agent at the phone call a user; the call as it ended. Raises only CancelledError.

        `begun` is awaited once the call is recorded.
        """
        errand, name = await self._errand(agent, order)
        visit = Visit(self.services, await self._begin(leg, errand, name, uuid.uuid4()), leg)
        outgoing = OutgoingCall(visit, self.room, errand, begun)
        self._visits[visit.call.id] = visit
        try:
            await conclude(visit, outgoing.run)
        finally:
            del self._visits[visit.call.id]
            self.services.exchange.forget(visit.call.id)
            outgoing.close()
            self._unsettled.set()
        return visit.call

    async def settle(self) -> None:
        """Settle the accounts of calls that are over, for ever; also those that a predecessor left."""
        await keep_working("accounts of calls", self._settle_due, self._unsettled, SETTLE_SECONDS)

    async def _settle_due(self) -> None:
        await settle_due(self.room.billing)

    async def _agent_at(self, endpoint: str) -> Agent | None:
        try:
            agent = await self.room.store.agent_at(endpoint)
        except StoreError as error:
            logger.error("nobody knows whose phone %s is: %s", endpoint, error)
            return None
        if agent is None:
            logger.warning("%s calls out, and is no agent's endpoint", endpoint)
        return agent

    async def _errand(self, agent: Agent | None, order: Order) -> tuple[Errand, str]:
        """What is to be done, and what the user is called. Without PostgreSQL it will be refused later."""
        try:
            errand = await self.room.clearance.errand(agent, order.dialled, order.named)
            return errand, await self.room.store.name_of(errand.called.user_key)
        except StoreError as error:
            logger.error("a call to %.40s cannot be prepared: %s", order.dialled, error)
            return self.room.clearance.unprepared(agent, order.dialled, order.named), ""

    async def _begin(self, leg: CallerLeg, errand: Errand, name: str, call_id: UUID) -> Call:
        try:
            linkedid = await leg.channel.get_variable("CHANNEL(linkedid)")
        except NotFound:  # gone already; the flow will notice
            linkedid = None
        return Call(
            id=call_id,
            linkedid=linkedid or leg.id,
            channel_type=ChannelType.WHATSAPP,
            number=errand.business.number if errand.business is not None else errand.named or "",
            caller=Caller.of_whatsapp(errand.called.user_key, name),
            received_at=now(),
            state=State.REQUESTED,
            agent_id=errand.agent.id if errand.agent is not None else None,
            direction=Direction.OUTBOUND,
        )

    async def _hang_up(self, channel: Channel) -> None:
        try:
            await channel.hangup(reason_code=TEMPORARY_FAILURE)
        except AriError as error:
            logger.warning("channel %s cannot be hung up: %s", channel.id, error)
