"""Ringing one agent for one call."""

import asyncio
import logging
import uuid

from ari_app.ari import AriClient, AriHttpError, Channel, Conflict, NotFound, channel_id
from ari_app.ari.events import ChannelDestroyed, ChannelStateChange, Dial, Event, StasisStart
from ari_app.calls.call import Call
from ari_app.calls.offer import NO_ANSWER, SUBSCRIBER_ABSENT, TEMPORARY_FAILURE, USER_BUSY, Agent, Offer
from ari_app.flows.entrance import now
from ari_app.flows.legs import CallerLeg

logger = logging.getLogger(__name__)

#: Limit for Asterisk to hand us a channel that we made, s. It takes some ms.
CHANNEL_SECONDS = 5.0

#: Asterisk itself stops ringing so long after us, s: if we die, the phone does not ring for ever.
DIAL_RESERVE = 5

#: By these words Asterisk's Dial event tells of an agent who cannot be had, while the channel may live on.
DIAL_FAILURES = {"BUSY": USER_BUSY, "CONGESTION": TEMPORARY_FAILURE, "CHANUNAVAIL": SUBSCRIBER_ABSENT}


class Ringing:
    """One attempt to ring one agent; `offer` is how it stands."""

    def __init__(self, ari: AriClient, caller: CallerLeg, call: Call, agent: Agent) -> None:
        self._ari = ari
        self._caller = caller
        self._who = call.caller
        self._rang = False
        self.offer = Offer(uuid.uuid4(), call.id, agent, now())
        self.channel: Channel = ari.channels.handle(channel_id())

    @property
    def agent(self) -> Agent:
        return self.offer.agent

    async def run(self, ring_seconds: int) -> bool:
        """Ring until the agent answers (True), refuses, or the time is up (False; `offer` tells what it was).

        Raises CallerLeft when the caller hangs up meanwhile. In every case the channel is to be hung up by
        `stop`.
        """
        try:
            refusal = await self._reach(ring_seconds)
            if refusal is None:
                refusal = await self._wait_for_answer(ring_seconds)
        except TimeoutError:
            self.offer = self.offer.unanswered(now(), ring_seconds, rang=self._rang)
            return False
        if refusal is not None:
            self.offer = self.offer.refused(now(), refusal, rang=self._rang)
            return False
        return True

    def answered(self) -> None:
        """The agent and the caller were joined."""
        self.offer = self.offer.answered(now())

    def lost(self) -> None:
        """The agent answered, but was gone before the caller could be joined."""
        self.offer = self.offer.failed(now(), f"{self.agent.name} hung up before the call was joined")

    def abandon(self, reason: str) -> None:
        """The call ended first; an offer that is over already stays as it is."""
        if self.offer.outcome is None:
            self.offer = self.offer.cancelled(now(), reason)

    async def stop(self, cause: int = NO_ANSWER) -> None:
        """Hang the agent's channel up, whatever its state; one that is gone is no error."""
        await self.channel.hangup(reason_code=cause)

    async def _reach(self, ring_seconds: int) -> int | None:
        """Make the agent's channel and dial it; the Q.850 cause if that fails.

        Its originator is the caller, so that both share the linkedid. A dial before the StasisStart gives
        409.
        """
        try:
            await self._ari.channels.create(
                endpoint=self.offer.agent.endpoint,
                app_args=["agent", str(self.offer.call_id)],
                channel_id=self.channel.id,
                originator=self._caller.id,
                events=self._caller.events,
            )
        except AriHttpError as error:
            logger.warning("call %s: %s cannot be called: %s", self.offer.call_id, self.offer.agent.endpoint, error)
            return SUBSCRIBER_ABSENT
        try:
            event = await self._next(StasisStart, timeout=CHANNEL_SECONDS)
            if not isinstance(event, ChannelDestroyed):
                await self._caller.introduce(self._who)
                try:
                    await self.channel.dial(timeout=ring_seconds + DIAL_RESERVE, caller=self._caller.id)
                except (NotFound, Conflict):
                    event = await self._next(timeout=CHANNEL_SECONDS)
        except TimeoutError:
            logger.error("call %s: Asterisk does not hand over channel %s", self.offer.call_id, self.channel.id)
            return TEMPORARY_FAILURE
        return event.cause if isinstance(event, ChannelDestroyed) else None

    async def _wait_for_answer(self, ring_seconds: int) -> int | None:
        """None when the agent answered, else the Q.850 cause. Raises TimeoutError when the time is up."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + ring_seconds
        while True:
            event = await self._next(ChannelStateChange, Dial, timeout=max(0.0, deadline - loop.time()))
            match event:
                case ChannelDestroyed():
                    return event.cause
                case Dial(dialstatus=status) if status in DIAL_FAILURES:
                    return DIAL_FAILURES[status]
                case ChannelStateChange() if event.channel.state == "Up":
                    return None
                case ChannelStateChange() if event.channel.state == "Ringing":
                    self._rang = True

    async def _next(self, *types: type[Event], timeout: float) -> Event:
        """The next event of the agent's channel of one of `types`, or its last one."""
        return await self._caller.wait_for(*types, ChannelDestroyed, timeout=timeout, where=self._is_mine)

    def _is_mine(self, event: Event) -> bool:
        channel = event.peer if isinstance(event, Dial) else getattr(event, "channel", None)
        return channel is not None and channel.id == self.channel.id
