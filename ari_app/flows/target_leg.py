"""Calling one SIP target for one call."""

import asyncio
import logging
from collections.abc import Mapping

from ari_app.ari import AriHttpError, Channel, Conflict, NotFound, channel_id
from ari_app.ari.events import ChannelDestroyed, ChannelStateChange, Event, StasisStart
from ari_app.calls.offer import NO_ANSWER
from ari_app.calls.sip_target import SipTarget
from ari_app.flows.ringing import CHANNEL_SECONDS, DIAL_RESERVE
from ari_app.flows.visit import Visit

logger = logging.getLogger(__name__)


class TargetLeg:
    """One attempt. The channel is a leg of the visit until `stop`."""

    def __init__(self, visit: Visit, target: SipTarget) -> None:
        self._visit = visit
        self.target = target
        self.channel: Channel = visit.ari.channels.handle(channel_id())
        self.was_there = False
        "It was there and did not take the call: it rang, or refused with 486, 600 or 603."

    async def call(self, ring_seconds: int, headers: Mapping[str, str]) -> str | None:
        """Call until it answers: None, or why it did not in words. Raises CallerLeft."""
        self._visit.legs[self.channel.id] = self.channel
        try:
            return await self._reach(ring_seconds, headers) or await self._wait_for_answer(ring_seconds)
        except TimeoutError:
            return f"no answer in {ring_seconds} s"

    async def stop(self) -> None:
        await self.channel.hangup(reason_code=NO_ANSWER)
        self._visit.legs.pop(self.channel.id, None)

    async def _reach(self, ring_seconds: int, headers: Mapping[str, str]) -> str | None:
        """Make the channel and dial it; why that failed, if it did.

        Headers set while the channel is made go into its INVITE (measured, 22.10.1). ARI hands the values to the
        function as they are; nothing of them is read as dialplan. Name and number of the caller, for From and
        P-Asserted-Identity, are taken from the caller's channel by the dial.
        """
        visit = self._visit
        try:
            await visit.ari.channels.create(
                endpoint=self.target.dial_string(visit.call.number),
                app_args=["agent", str(visit.call.id)],
                channel_id=self.channel.id,
                originator=visit.caller.id,
                variables={f"PJSIP_HEADER(add,{name})": value for name, value in headers.items()},
                events=visit.caller.events,
            )
        except AriHttpError as error:
            logger.warning("call %s: %s cannot be called: %s", visit.call.id, self.target, error)
            return "Asterisk has no way to it"
        event = await self._next(StasisStart, timeout=CHANNEL_SECONDS)
        if not isinstance(event, ChannelDestroyed):
            await visit.caller.introduce(visit.call.caller)
            try:
                await self.channel.dial(timeout=ring_seconds + DIAL_RESERVE, caller=visit.caller.id)
            except (NotFound, Conflict):
                event = await self._next(timeout=CHANNEL_SECONDS)
        return self._refusal(event) if isinstance(event, ChannelDestroyed) else None

    async def _wait_for_answer(self, ring_seconds: int) -> str | None:
        """None when it answered, else why not. Raises TimeoutError when the time is up."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + ring_seconds
        while True:
            event = await self._next(ChannelStateChange, timeout=max(0.0, deadline - loop.time()))
            match event:
                case ChannelDestroyed():
                    return self._refusal(event)
                case ChannelStateChange() if event.channel.state == "Up":
                    return None
                case ChannelStateChange() if event.channel.state == "Ringing":
                    self.was_there = True

    def _refusal(self, event: ChannelDestroyed) -> str:
        """503 is also what Asterisk says itself when nobody is at the address, or its name is unknown."""
        status = event.tech_cause
        self.was_there = self.was_there or status in {486, 600, 603}
        if status == 503:
            return "unavailable, or not to be reached (503)"
        return f"SIP status {status}" if status else f"{event.cause_txt or 'gone'} (cause {event.cause})"

    async def _next(self, *types: type[Event], timeout: float) -> Event:
        """The next event of this channel of one of `types`, or its last one."""
        return await self._visit.caller.wait_for(*types, ChannelDestroyed, timeout=timeout, where=self._is_mine)

    def _is_mine(self, event: Event) -> bool:
        channel = getattr(event, "channel", None)
        return channel is not None and channel.id == self.channel.id
