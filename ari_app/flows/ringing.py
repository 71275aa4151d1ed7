"""Ringing one agent for one call."""

import asyncio
import logging
import uuid

from ari_app.ari import AriClient, AriError, AriHttpError, Channel, Conflict, NotFound, channel_id
from ari_app.ari.events import ChannelDestroyed, ChannelStateChange, Dial, Event, StasisStart
from ari_app.calls.call import Call
from ari_app.calls.offer import (
    NO_ANSWER,
    NORMAL_CLEARING,
    SUBSCRIBER_ABSENT,
    TEMPORARY_FAILURE,
    USER_BUSY,
    Agent,
    Offer,
)
from ari_app.flows.entrance import now
from ari_app.flows.legs import CallerLeft, CallerLeg

logger = logging.getLogger(__name__)

#: Limit for Asterisk to hand us a channel that we made, s. It takes some ms.
CHANNEL_SECONDS = 5.0

#: Asterisk itself stops ringing so long after us, s: if we die, the phone does not ring for ever.
DIAL_RESERVE = 5

#: By these words Asterisk's Dial event tells of an agent who cannot be had, while the channel may live on.
DIAL_FAILURES = {"BUSY": USER_BUSY, "CONGESTION": TEMPORARY_FAILURE, "CHANUNAVAIL": SUBSCRIBER_ABSENT}


#: SIP status (RFC 3261, 21.4.18).
TEMPORARILY_UNAVAILABLE = 480


class Withdraw(Event):
    """To a ringing: stop, with this Q.850 cause."""

    type: str = "Withdraw"
    cause: int
    reason: str


class Withdrawn(Exception):
    def __init__(self, order: Withdraw) -> None:
        super().__init__(order.reason)
        self.order = order


class Ringing:
    """One attempt to ring one agent; `offer` is how it stands. `run` it in a task of its own."""

    def __init__(
        self, ari: AriClient, caller: CallerLeg, call: Call, agent: Agent, group: str | None, ring_seconds: int
    ) -> None:
        self._ari = ari
        self._caller = caller
        self._rang = False
        self._ring_seconds = ring_seconds
        self._events = ari.subscribe()
        self._cause = NO_ANSWER
        self.offer = Offer(uuid.uuid4(), call.id, agent, now(), group=group)
        self.channel: Channel = ari.channels.handle(channel_id())

    @property
    def agent(self) -> Agent:
        return self.offer.agent

    async def run(self) -> bool:
        """Ring until the agent answers (True), refuses, the time is up, or `withdraw` (False; `offer` tells).

        When it returns False the phone rings no longer. When True, the channel's events come to the caller's
        events, and the channel is to be hung up by `stop`.
        """
        answered = False
        try:
            answered = await self._ring()
            return answered
        finally:
            self._events.close()
            if not answered:
                self._caller.events.unwatch(self._subject)
                await self.stop(self._cause)

    def withdraw(self, cause: int, reason: str) -> None:
        """Stop ringing; `run` returns soon."""
        self._events.put(Withdraw(cause=cause, reason=reason))

    def answered(self) -> None:
        """The agent and the caller were joined."""
        self.offer = self.offer.answered(now())

    def take_over(self, offer: Offer, channel: Channel) -> None:
        """It is one of a predecessor, whose agent talks on this channel; nothing is to be run."""
        self._events.close()
        self.offer, self.channel = offer, channel

    def lost(self) -> None:
        """The agent answered, but was gone before the caller could be joined."""
        self.offer = self.offer.failed(now(), f"{self.agent.name} hung up before the call was joined")

    def abandon(self, reason: str) -> None:
        """The call ended first; an offer that is over already stays as it is."""
        if self.offer.outcome is None:
            self.offer = self.offer.cancelled(now(), reason)

    async def stop(self, cause: int = NORMAL_CLEARING) -> None:
        """Hang the agent's channel up, whatever its state; one that is gone is no error."""
        await self.channel.hangup(reason_code=cause)

    @property
    def _subject(self) -> str:
        return f"channel:{self.channel.id}"

    async def _ring(self) -> bool:
        try:
            refusal = await self._reach()
            if refusal is None:
                refusal = await self._wait_for_answer()
        except TimeoutError:
            self.offer = self.offer.unanswered(now(), self._ring_seconds, rang=self._rang)
            return False
        except Withdrawn as withdrawn:
            self._cause = withdrawn.order.cause
            self.abandon(withdrawn.order.reason)
            return False
        except CallerLeft:
            self.abandon("the caller hung up")
            return False
        except AriError as error:
            logger.error("call %s: while ringing %s: %s", self.offer.call_id, self.agent.name, error)
            self.offer = self.offer.failed(now(), f"Asterisk: {error}")
            return False
        if refusal is not None:
            self.offer = self.offer.refused(now(), refusal, rang=self._rang)
            return False
        return True

    async def _reach(self) -> int | None:
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
                events=self._events,
            )
        except AriHttpError as error:
            logger.warning("call %s: %s cannot be called: %s", self.offer.call_id, self.offer.agent.endpoint, error)
            return SUBSCRIBER_ABSENT
        self._caller.events.watch(self._subject)
        try:
            event = await self._next(StasisStart, timeout=CHANNEL_SECONDS)
            if not isinstance(event, ChannelDestroyed):
                try:
                    await self.channel.dial(timeout=self._ring_seconds + DIAL_RESERVE, caller=self._caller.id)
                except (NotFound, Conflict):
                    event = await self._next(timeout=CHANNEL_SECONDS)
        except TimeoutError:
            logger.error("call %s: Asterisk does not hand over channel %s", self.offer.call_id, self.channel.id)
            return TEMPORARY_FAILURE
        return _cause(event) if isinstance(event, ChannelDestroyed) else None

    async def _wait_for_answer(self) -> int | None:
        """None when the agent answered, else the Q.850 cause. Raises TimeoutError when the time is up."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._ring_seconds
        while True:
            event = await self._next(ChannelStateChange, Dial, timeout=max(0.0, deadline - loop.time()))
            match event:
                case ChannelDestroyed():
                    return _cause(event)
                case Dial(dialstatus=status) if status in DIAL_FAILURES:
                    return DIAL_FAILURES[status]
                case ChannelStateChange() if event.channel.state == "Up":
                    return None
                case ChannelStateChange() if event.channel.state == "Ringing":
                    self._rang = True

    async def _next(self, *types: type[Event], timeout: float) -> Event:
        """The next event of the agent's channel of one of `types`, or its last one. Raises Withdrawn."""
        event = await self._events.wait_for(
            *types, ChannelDestroyed, Withdraw, timeout=timeout, where=self._is_about_the_agent
        )
        if isinstance(event, Withdraw):
            raise Withdrawn(event)
        return event

    def _is_about_the_agent(self, event: Event) -> bool:
        channel = event.peer if isinstance(event, Dial) else getattr(event, "channel", None)
        return isinstance(event, Withdraw) or (channel is not None and channel.id == self.channel.id)


def _cause(event: ChannelDestroyed) -> int:
    """Q.850. SIP's 480 comes as 19 (no answer), but is said by phones that are off or not to be disturbed."""
    return SUBSCRIBER_ABSENT if event.tech_cause == TEMPORARILY_UNAVAILABLE else event.cause
