"""A WhatsApp call inside Asterisk.

Two channels that belong to us: the `;1` half of a Local channel, whose `;2` half runs the dialplan like any incoming
call, and a `WebSocket` channel for the media. They are joined in a bridge when somebody answers. Measured on
Asterisk 22.10: a bare websocket channel in Stasis would cost less, but leaves no CDR unless it is joined to
somebody, cannot be answered (412) and takes no injected DTMF.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from ari_app.ari import (
    AriClient,
    AriError,
    AriUnavailable,
    Bridge,
    ChannelGone,
    Conflict,
    NotFound,
    Subscription,
    channel_id,
    object_id,
)
from ari_app.ari.events import ChannelDestroyed, ChannelStateChange, StasisStart
from whatsapp_bridge.pbx.media_client import MediaClient
from whatsapp_bridge.pbx.media_socket import MediaSocket

logger = logging.getLogger(__name__)

#: Asterisk's own steps take milliseconds; under heavy load seconds have been seen.
STEP_TIMEOUT = 10.0
#: How long one digit is heard in the PBX, ms; `Read()` and phones want at least 40.
DIGIT_MS = 100

#: Characters that mean something to the dialplan in one place or another.
_DIALPLAN_SYNTAX = str.maketrans(dict.fromkeys('"\\$`{}[]()<>;,&|^~', " "))


def dialplan_safe(text: str) -> str:
    """Text from outside as a channel variable: nothing left that the dialplan could read as syntax."""
    return " ".join(text.translate(_DIALPLAN_SYNTAX).split())


@dataclass(frozen=True)
class Hangup:
    """Why the PBX let the call go."""

    cause: int
    "Q.850; 0 if Asterisk did not say."
    text: str


@dataclass(frozen=True)
class CallerId:
    """Who calls, as the PBX shows it; empty where unknown."""

    number: str
    name: str


class PbxLeg:
    """One call in Asterisk, as an async context manager that leaves no channel and no bridge behind."""

    def __init__(self, ari: AriClient, base_url: str) -> None:
        self.id = channel_id()
        """Id of the `;1` half, which is the call's linkedid too: it is the first channel of the call."""
        self.answered = asyncio.Event()
        self.hung_up: asyncio.Future[Hangup] = asyncio.get_running_loop().create_future()
        """The PBX hung up, or its media connection broke."""
        self.hangup_cause = 16
        """With which Q.850 cause to hang up when this side ends the call."""
        self._ari, self._base_url = ari, base_url
        self._media_id = channel_id()
        self._bridge: Bridge | None = None
        self._socket: MediaSocket | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._placed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
        if self._placed:
            await self._give_back()
        if self._socket is not None:
            await self._socket.close()
        if not self.hung_up.done():
            self.hung_up.cancel()

    async def place(self, extension: str, context: str, caller: CallerId, variables: dict[str, str]) -> MediaSocket:
        """Bring the call into the dialplan and return its media connection. It rings; nobody has answered.

        `variables` are channel variables of both halves; `caller` is who calls, in the dialplan and after it: a bridge
        tells each side who is at the other, so both of our channels carry it.

        Raises AriError or MediaSocketError, within STEP_TIMEOUT.
        """
        self._placed = True
        async with self._step("placing the call"):
            with await self._ari.channels.create(
                endpoint=f"Local/{extension}@{context}/n",
                channel_id=self.id,
                other_channel_id=channel_id(),
                formats=["opus"],
                variables={
                    "CONNECTEDLINE(num,i)": caller.number,
                    "CONNECTEDLINE(name,i)": caller.name,
                    **{f"__{name}": value for name, value in variables.items()},
                },
            ) as local:
                # The watcher's subscription stands before the dial, so that no answer is missed.
                events = self._ari.subscribe(local, self._ari.channels.handle(self._media_id))
                self._watcher = asyncio.create_task(self._watch(events), name=f"pbx-leg-{self.id}")
                await local.wait_for(StasisStart, timeout=STEP_TIMEOUT)
                socket = await self._open_media(caller)
                await local.dial()
        return socket

    async def join(self) -> None:
        """Let caller and PBX hear each other. Raises AriError when either is gone."""
        async with self._step("joining caller and PBX"):
            bridge_id = object_id()
            self._bridge = self._ari.bridges.handle(bridge_id)
            with await self._ari.bridges.create(bridge_id=bridge_id, bridge_type="mixing") as bridge:
                await bridge.add_channel(self.id, self._media_id)

    async def send_digit(self, digit: str) -> None:
        """A digit that the caller pressed, heard on the far half: by Stasis as by `Read()`."""
        try:
            await self._ari.channels.handle(self.id).send_dtmf(digit, duration=DIGIT_MS)
        except (NotFound, Conflict) as error:
            logger.info("digit of call %s not delivered: %s", self.id, error)

    @contextlib.asynccontextmanager
    async def _step(self, what: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(STEP_TIMEOUT):
                yield
        except TimeoutError as error:
            raise AriUnavailable(f"{what} took Asterisk more than {STEP_TIMEOUT:g} s") from error

    async def _open_media(self, caller: CallerId) -> MediaSocket:
        with await self._ari.channels.create(
            endpoint="WebSocket/INCOMING/c(opus)nf(json)",
            channel_id=self._media_id,
            originator=self.id,
            variables={"CALLERID(num)": caller.number, "CALLERID(name)": caller.name},
        ) as media:
            await media.wait_for(StasisStart, timeout=STEP_TIMEOUT)
            connection_id = await media.get_variable("MEDIA_WEBSOCKET_CONNECTION_ID")
            await media.dial()
        if connection_id is None:
            raise ChannelGone(self._media_id, 0, "no media connection id: is chan_websocket loaded?")
        self._socket = await MediaClient.connect(self._base_url, connection_id)
        # Our own channel; whether the call is answered is shown by the Local channel alone.
        self._socket.send_command("ANSWER")
        return self._socket

    async def _watch(self, events: Subscription) -> None:
        with events:
            try:
                async for event in events:
                    match event:
                        case ChannelStateChange(channel=channel) if channel.id == self.id and channel.state == "Up":
                            self.answered.set()
                        case ChannelDestroyed(channel=channel) if channel.id == self.id:
                            self._report(Hangup(event.cause, event.cause_txt))
                        case ChannelDestroyed(channel=channel) if channel.id == self._media_id:
                            self._report(Hangup(38, "the media channel was closed"))
            except AriError as error:
                self._report(Hangup(38, f"the connection to Asterisk is lost: {error}"))

    def _report(self, hangup: Hangup) -> None:
        if not self.hung_up.done():
            self.hung_up.set_result(hangup)

    async def _give_back(self) -> None:
        """Hang up before the bridge goes: dissolving a bridge can overwrite a cause (asterisk#1124)."""
        try:
            async with asyncio.timeout(STEP_TIMEOUT):
                await self._ari.channels.hangup(self.id, reason_code=self.hangup_cause)
                await self._ari.channels.hangup(self._media_id, reason_code=self.hangup_cause)
                if self._bridge is not None:
                    await self._bridge.destroy()
        except (AriError, TimeoutError) as error:
            logger.error("call %s may be left in Asterisk, to be cleared at the next start: %s", self.id, error)
