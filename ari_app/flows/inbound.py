"""An incoming call: answer, entry prompt, music while an agent's phone rings, talk."""

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass

from ari_app.ari import AriClient, AriError, AriHttpError, AriUnavailable, Bridge, NotFound
from ari_app.ari.events import Event
from ari_app.calls import ending
from ari_app.calls.call import Call
from ari_app.calls.ending import EndedBy, Ending
from ari_app.calls.offer import NORMAL_CLEARING, Agent, Offer
from ari_app.calls.route import Route
from ari_app.config import AppConfig
from ari_app.flows.cleanup import cleaning_up
from ari_app.flows.entrance import now
from ari_app.flows.journal import LAST_WRITE_SECONDS, Journal
from ari_app.flows.legs import CallerLeft, CallerLeg, left
from ari_app.flows.ringing import Ringing
from ari_app.store.database import StoreError
from ari_app.store.routes import RouteStore

logger = logging.getLogger(__name__)

#: While two people talk, we look so often whether both are still there, s: an event that got lost costs a
#: minute.
LOOK_SECONDS = 60.0

#: Limit for channels that were hung up to be gone, s. It takes some ms.
GONE_SECONDS = 2.0

#: Limit for hanging up and giving back all that a call has, s, also with an Asterisk that does not answer.
RELEASE_SECONDS = 6.0

#: Limit for the last write of a call that ends because the application stops, s.
STOP_WRITE_SECONDS = 3.0


@dataclass(frozen=True)
class Services:
    """What flows work with."""

    ari: AriClient
    journal: Journal
    routes: RouteStore
    config: AppConfig


class InboundCall:
    """One caller, from entering the application to the record's last word.

    `run` is the whole story; the stages stand below it in the order in which they happen. Each of them may
    raise CallerLeft, because callers hang up at any moment.
    """

    def __init__(self, services: Services, call: Call, caller: CallerLeg) -> None:
        self._ari = services.ari
        self._journal = services.journal
        self._routes = services.routes
        self._config = services.config
        self._caller = caller
        self._ringing: Ringing | None = None
        self._bridge: Bridge | None = None
        self._past_offers: list[Offer] = []
        self._moment = "before the call was answered"
        self.call = call

    def owns(self, channel_id: str) -> bool:
        """Whether a channel is a leg of this call."""
        return channel_id == self._caller.id or (self._ringing is not None and channel_id == self._ringing.channel.id)

    async def run(self) -> None:
        """Serve the caller. Whatever happens, both legs end, all is given back, and the record says why."""
        try:
            result = await self._serve()
        except CallerLeft:
            result = self._caller_left()
        except AriError as error:
            logger.error("call %s cannot go on: %s", self.call.id, error)
            result = self._fault(f"Asterisk: {error}")
        except asyncio.CancelledError:
            with cleaning_up():
                await self._finish(self._fault("the application was stopped"), STOP_WRITE_SECONDS)
            raise
        except Exception as error:
            logger.exception("call %s cannot go on: a fault of ours", self.call.id)
            result = self._fault(f"internal error ({type(error).__name__})")
        await self._finish(result, LAST_WRITE_SECONDS)

    async def _serve(self) -> Ending:
        """The stages. How the call ended; legs may still be there."""
        await self._answer()
        try:
            route = await self._routes.find(self.call.number)
        except StoreError as error:
            logger.error("call %s: no route can be read: %s", self.call.id, error)
            return await self._turn_away(self._fault("the routes could not be read"), self._config.fault_prompt)
        if route is None:
            logger.warning("call %s: no route for number %s", self.call.id, self.call.number)
            return await self._turn_away(ending.no_route(self.call.number), self._config.no_route_prompt)
        await self._welcome(route)
        if ringing := await self._offer(route.agent, route.ring_seconds):
            return await self._talk(ringing)
        return await self._turn_away(ending.nobody_answered(self._past_offers), route.no_agent_prompt)

    async def _answer(self) -> None:
        """Meta gives up after 30 to 60 s without an answer, so we answer before the prompts."""
        await self._journal.save(self.call)
        logger.info("call %s: %s to %s", self.call.id, self.call.channel_type, self.call.number)
        async with self._caller.asking():
            await self._caller.channel.answer()

    async def _welcome(self, route: Route) -> None:
        """The entry prompt, then music."""
        self._moment = "during the entry prompt"
        self.call = self.call.queued(now())
        await self._journal.save(self.call)
        await self._caller.play(route.entry_prompt)
        async with self._caller.asking():
            await self._caller.channel.start_moh(route.music_class)

    async def _offer(self, agent: Agent, ring_seconds: int) -> Ringing | None:
        """Ring one agent, while the caller hears music. The agent's leg when both are joined, None if not."""
        self._moment = f"while {agent.name} was ringing"
        ringing = self._ringing = Ringing(self._ari, self._caller, self.call, agent)
        self.call = self.call.ringing()
        await self._journal.save(self.call, ringing.offer)
        if await ringing.run(ring_seconds) and await self._join(ringing):
            return ringing
        await ringing.stop()
        self._ringing = None
        self._past_offers.append(ringing.offer)
        self._moment = "while waiting for an agent"
        logger.info("call %s: %s", self.call.id, ringing.offer.reason)
        self.call = self.call.queued(now())
        await self._journal.save(self.call, ringing.offer)
        return None

    async def _join(self, ringing: Ringing) -> bool:
        """Bring caller and agent together; False when the agent has hung up meanwhile."""
        try:
            async with self._caller.asking():
                await self._caller.channel.stop_moh()
            self._bridge = await self._ari.bridges.create(name=f"{bridge_prefix(self._ari.app)}{self.call.id}")
            await self._bridge.add_channel(self._caller.id, ringing.channel.id, inhibit_connected_line_updates=True)
        except AriHttpError as error:
            if not await self._has_left(ringing):
                raise
            logger.info("call %s: %s left while being joined: %s", self.call.id, ringing.agent.name, error)
            ringing.lost()
            return False
        ringing.answered()
        self.call = self.call.connected(ringing.agent.id, now())
        await self._journal.save(self.call, ringing.offer)
        return True

    async def _has_left(self, ringing: Ringing) -> bool:
        """After a refused request: whether it was the agent who is gone. Raises CallerLeft if it was the
        caller.
        """
        try:
            await self._caller.wait_for(
                Event, timeout=GONE_SECONDS, where=lambda event: left(event, ringing.channel.id)
            )
        except TimeoutError:
            return False
        return True

    async def _talk(self, ringing: Ringing) -> Ending:
        """Until the agent hangs up; that the caller does is a CallerLeft, as in every stage."""
        agent_left = False
        while not agent_left:
            try:
                await self._caller.wait_for(
                    Event, timeout=LOOK_SECONDS, where=lambda event: left(event, ringing.channel.id)
                )
            except TimeoutError:
                agent_left = not await self._both_there(ringing)
            else:
                agent_left = True
        return ending.talked(EndedBy.AGENT, ringing.agent.name)

    async def _both_there(self, ringing: Ringing) -> bool:
        """Ask Asterisk; False when the agent is gone. Raises CallerLeft."""
        try:
            async with self._caller.asking():
                await self._caller.channel.refresh()
            await ringing.channel.refresh()
        except NotFound:
            return False
        except AriUnavailable as error:
            logger.warning("call %s: cannot look after the legs: %s", self.call.id, error)
        return True

    async def _turn_away(self, result: Ending, prompt: str) -> Ending:
        """Tell the caller that nobody comes. The result is settled, whether or not the caller listens to
        the end.
        """
        try:
            await self._caller.play(prompt)
        except CallerLeft:
            return result.hung_up_by_user()
        return result

    def _caller_left(self) -> Ending:
        if self._caller.taken_away:
            return self._fault("the caller was taken out of the application")
        if self.call.connected_at is not None:
            return ending.talked(EndedBy.USER)
        return ending.abandoned(self._moment)

    def _fault(self, reason: str) -> Ending:
        return ending.fault(reason, connected=self.call.connected_at is not None)

    async def _finish(self, result: Ending, write_limit: float) -> None:
        """Hang up, give everything back, write the record."""
        at = now()
        await self._release()
        offers = self._past_offers
        if self._ringing is not None:
            self._ringing.abandon(result.reason)
            offers = [*offers, self._ringing.offer]
        self.call = self.call.ended(result, at)
        logger.info("call %s ended: %s by %s: %s", self.call.id, result.status, result.ended_by, result.reason)
        await self._journal.close(self.call, offers, write_limit)

    async def _release(self) -> None:
        """Hang up the agent's leg, then the caller's, and dissolve the bridge when both are gone.

        In this order: a phone must not ring on for a caller who left, and a bridge that dissolves under a
        channel can overwrite its hangup cause (asterisk#1124).
        """
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                if self._ringing is not None:
                    await self._try(self._ringing.stop(NORMAL_CLEARING))
                if self._caller.taken_away:
                    self._caller.events.unwatch("channel:" + self._caller.id)
                else:
                    await self._try(self._caller.channel.hangup(reason_code=NORMAL_CLEARING))
                await self._try(self._legs_gone())
                if self._bridge is not None:
                    await self._try(self._bridge.destroy())
        except TimeoutError:
            logger.error("call %s: not all could be hung up within %g s", self.call.id, RELEASE_SECONDS)
        finally:
            self._caller.close()
            if self._bridge is not None:
                self._bridge.close()

    async def _legs_gone(self) -> None:
        async with asyncio.timeout(GONE_SECONDS):
            async for _ in self._caller.events:
                pass

    async def _try(self, step: Awaitable[None]) -> None:
        """One step of giving back; that it fails must not keep the others from being done."""
        try:
            await step
        except (AriError, TimeoutError) as error:
            logger.warning("call %s: while hanging up: %r", self.call.id, error)


def bridge_prefix(app: str) -> str:
    """How the names of our bridges begin, so that a successor of this process finds what it left."""
    return f"{app}:"
