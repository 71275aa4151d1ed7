"""The caller's leg of a call, and all that is heard on the call.

One queue has the events of caller, agent and prompts in the order in which Asterisk sent them, so that a flow
waits in one place for "the agent answers, or the caller hangs up, or the time is up", and nothing is
cancelled half way.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from ari_app.ari import AriClient, AriClosed, Channel, Conflict, NotFound
from ari_app.ari.events import (
    ChannelDestroyed,
    ChannelDtmfReceived,
    ChannelHangupRequest,
    Event,
    PlaybackFinished,
    StasisEnd,
)
from ari_app.calls.caller import Caller

logger = logging.getLogger(__name__)

E = TypeVar("E", bound=Event)

#: Longest prompt, s. One that takes longer is stopped: the caller is here to talk.
PROMPT_SECONDS = 120.0

#: A caller who hangs up leaves the application and is destroyed in the same ms; one who is still there after
#: this, s, was taken away.
HANGUP_SECONDS = 0.5


#: Limit for channels that were hung up to be gone, s. It takes some ms.
GONE_SECONDS = 2.0


class CallerLeft(Exception):
    """The caller hung up, or was taken out of the application (`CallerLeg.taken_away`)."""


class CallerLeg:
    """Open it as a context manager; it gives its subscription back, and leaves the channel alone."""

    def __init__(self, ari: AriClient, channel: Channel) -> None:
        self.channel = channel
        self.events = ari.subscribe(channel)
        self.taken_away = False
        "The caller left the application without hanging up: somebody transferred or redirected the call."

    @property
    def id(self) -> str:
        return self.channel.id

    def close(self) -> None:
        self.events.close()

    def is_leaving(self, event: Event) -> bool:
        """Whether `event` says that the caller is going."""
        return left(event, self.id)

    async def wait_for(self, *types: type[E], timeout: float, where: Callable[[E], bool] | None = None) -> E:
        """The next event of `types` of this call. Raises CallerLeft when the caller goes first,
        TimeoutError.
        """
        event = await self.events.wait_for(
            Event,
            timeout=timeout,
            where=lambda event: (
                self.is_leaving(event) or (isinstance(event, types) and (where is None or where(event)))
            ),
        )
        if self.is_leaving(event) or not isinstance(event, types):
            await self._look_after(event)
            raise CallerLeft
        return event

    async def _look_after(self, event: Event | None) -> None:
        """Find out whether a caller who left is hanging up, or was taken away."""
        try:
            async with asyncio.timeout(HANGUP_SECONDS):
                while not isinstance(event, ChannelHangupRequest | ChannelDestroyed):
                    event = await self.events.wait_for(Event, timeout=HANGUP_SECONDS, where=self.is_leaving)
        except AriClosed:
            return
        except TimeoutError:
            self.taken_away = True

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """Around requests about the caller's channel: that it is not there (404, 409) means that the
        caller left.
        """
        try:
            yield
        except NotFound as error:
            raise CallerLeft from error
        except Conflict as error:
            await self._look_after(None)
            raise CallerLeft from error

    async def gone(self, timeout: float) -> None:
        """Wait until all channels of the call, hung up before, are gone. Raises TimeoutError after `timeout` s.

        With the StasisEnd, Asterisk forgets that we want to hear of a channel: whether its ChannelDestroyed still comes
        is a matter of chance (measured, 22.10.1).
        """
        async with asyncio.timeout(timeout):
            async for event in self.events:
                if isinstance(event, StasisEnd):
                    self.events.unwatch("channel:" + event.channel.id)

    async def introduce(self, caller: Caller) -> None:
        """Put who calls on the caller's channel, from where a dial takes what phones show. Raises CallerLeft.

        To be done right before a dial: when a Local channel's other half joins a bridge, the connected line
        of that bridge replaces the caller id on this half (measured, 22.10.1). ARI hands the values to the
        dialplan function as they are; nothing of them is read as dialplan.
        """
        async with self.asking():
            await self.channel.set_variable("CALLERID(num)", caller.number)
            await self.channel.set_variable("CALLERID(name)", caller.name)

    async def play(self, media: str, *, until_digit: bool = False) -> str:
        """Play a prompt to its end, or until a digit is pressed, which is returned. One that cannot be played is logged
        and left out. Raises CallerLeft.
        """

        def ends(event: Event) -> bool:
            if isinstance(event, ChannelDtmfReceived):
                return until_digit and event.channel.id == self.id
            return isinstance(event, PlaybackFinished) and event.playback.id == playback.id

        async with self.asking():
            playback = await self.channel.play(media)
        try:
            event = await self.wait_for(Event, timeout=PROMPT_SECONDS, where=ends)
        except TimeoutError:
            logger.warning("prompt %s on %s is longer than %g s: stopped", media, self.id, PROMPT_SECONDS)
            await playback.stop()
        else:
            if isinstance(event, ChannelDtmfReceived):
                await playback.stop()
                return event.digit
            if isinstance(event, PlaybackFinished) and event.playback.state == "failed":
                logger.warning("prompt %s cannot be played: is the sound installed?", media)
        finally:
            playback.close()
        return ""


def left(event: Event, channel_id: str) -> bool:
    """Whether `event` says that a channel hangs up, has hung up, or has left the application."""
    return isinstance(event, ChannelHangupRequest | StasisEnd | ChannelDestroyed) and event.channel.id == channel_id
