"""A call that the PBX places to a WhatsApp user: the `WebSocket/whatsapp` channel that Asterisk made for it.

The channel is somebody else's, `Dial()`'s or an ARI application's, so little can be done to it from here. Measured
on Asterisk 22.10.1: hanging it up by ARI with a cause works, and `Dial()` reports it in DIALSTATUS and HANGUPCAUSE (17
BUSY, 19 NOANSWER, 34 CONGESTION, others CHANUNAVAIL); closing the websocket, or its command HANGUP, always means
cause 16. There is no way to let it ring: the driver has no such command, and ARI's `ring` and `dtmf` need a channel
that is in a Stasis application (409). So a plain `Dial()` wants its option `r`, and digits of the user reach only
channels that are in Stasis.
"""

import asyncio
import logging
import re
from dataclasses import dataclass
from typing import Any

from ari_app.ari import AriClient, AriError, Conflict, NotFound
from whatsapp_bridge.pbx.leg import DIGIT_MS, STEP_TIMEOUT, Hangup
from whatsapp_bridge.pbx.media_server import AcceptedMediaSocket

logger = logging.getLogger(__name__)

NORMAL_CLEARING = 16
#: How long a hung up channel has to close its websocket by itself, s.
CLOSING_TIMEOUT = 1.0

_CHANNEL_ID = re.compile(r"^[\x21-\x7e]{1,150}$")


class DialledLegError(Exception):
    """Asterisk does not know the channel for which a websocket was opened."""


@dataclass(frozen=True)
class Started:
    """What MEDIA_START says."""

    channel_id: str
    channel_name: str

    @classmethod
    def read(cls, event: dict[str, Any]) -> "Started":
        """Raises DialledLegError."""
        channel_id, name, media = event.get("channel_id"), event.get("channel"), event.get("format")
        if not isinstance(channel_id, str) or not _CHANNEL_ID.match(channel_id) or not isinstance(name, str):
            raise DialledLegError("MEDIA_START names no channel")
        if media != "opus":
            raise DialledLegError(f"the channel sends {str(media)[:20]!r} and not Opus: dial with c(opus)n")
        return cls(channel_id, name)


class DialledLeg:
    """One call in Asterisk that is to reach a WhatsApp user. Give it back with `close`."""

    def __init__(self, ari: AriClient, socket: AcceptedMediaSocket, started: Started) -> None:
        self.socket = socket
        self.id = started.channel_id
        self.hung_up: asyncio.Future[Hangup] = asyncio.get_running_loop().create_future()
        """The PBX hung up: its end of the media connection is closed. Asterisk does not say with which cause."""
        self.hangup_cause = NORMAL_CLEARING
        """With which Q.850 cause to hang up when this side ends the call."""
        self._ari, self._name = ari, started.channel_name
        self._known = False

    async def verify(self) -> str | None:
        """Make sure that the channel is Asterisk's and waits for an answer; returns its linkedid.

        Whoever else may reach the port of the websocket cannot know the channel's name, which ends in an address
        in Asterisk's memory. Raises DialledLegError or AriError.
        """
        channel = self._ari.channels.handle(self.id)
        async with asyncio.timeout(STEP_TIMEOUT):
            try:
                data = await channel.refresh()
                linkedid = await channel.get_variable("CHANNEL(linkedid)")
            except NotFound as error:
                raise DialledLegError(f"Asterisk has no channel {self.id[:60]}") from error
        if data.name != self._name or data.state == "Up" or not data.name.startswith("WebSocket/"):
            raise DialledLegError(f"channel {self.id[:60]} is not the one that was dialled")
        self._known = True
        return linkedid

    def answer(self) -> None:
        """The user has answered: the channel goes up, and media flows."""
        self.socket.send_command("ANSWER")

    async def send_digit(self, digit: str) -> None:
        """A digit that the user pressed, for the channels at the other end of the bridge that ours is in."""
        try:
            for bridge in await self._ari.bridges.list():
                others = [] if bridge.data is None else list(bridge.data.channels)
                if self.id in others:
                    others.remove(self.id)
                    for other in others:
                        await self._ari.channels.handle(other).send_dtmf(digit, duration=DIGIT_MS)
        except (NotFound, Conflict) as error:
            logger.info("digit of the user of call %s not delivered: %s", self.id, error)

    async def watch(self) -> None:
        """Notice when the PBX hangs up."""
        await self.socket.closed.wait()
        self.notice_hangup()

    def notice_hangup(self) -> Hangup:
        """The websocket is closed, so the channel is gone."""
        if not self.hung_up.done():
            self.hung_up.set_result(Hangup(NORMAL_CLEARING, "Normal Clearing"))
        return self.hung_up.result()

    async def close(self) -> None:
        """Hang the channel up with `hangup_cause`, if it is still there, and close the websocket."""
        if self._known and not self.socket.closed.is_set():
            try:
                async with asyncio.timeout(STEP_TIMEOUT):
                    await self._ari.channels.hangup(self.id, reason_code=self.hangup_cause)
                async with asyncio.timeout(CLOSING_TIMEOUT):
                    await self.socket.closed.wait()
            except (AriError, TimeoutError) as error:
                logger.error("channel %s is hung up without cause %d: %s", self.id, self.hangup_cause, error)
        await self.socket.close()
        if not self.hung_up.done():
            self.hung_up.cancel()
