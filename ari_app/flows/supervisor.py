"""A supervisor in somebody else's call: the phone rings, and hears the call, or speaks in it.

To listen, a snoop channel on the caller's channel hears both directions: it stays through transfers. To whisper, one on
the agent's channel hears both and is heard by the agent alone. Either is joined with the supervisor's phone in a bridge
of their own. To barge in, the phone comes into the bridge of the call.

While two channels with the same codec are in a bridge, Asterisk passes their frames on as they are. Who is whispered to
then hears nothing at all any more, neither whisper nor caller: two phones with Opus, measured, 22.10.1. With a third
channel in the bridge it mixes, and the whisper is heard. So a silent one is brought there: a snoop channel, muted.
"""

import asyncio
import logging
from collections.abc import Awaitable
from types import TracebackType
from typing import Self, TypeVar

from ari_app.ari import AriError, AriHttpError, Bridge, Channel, NotFound, channel_id
from ari_app.ari.events import ChannelEvent, ChannelStateChange, Event, StasisEnd, StasisStart
from ari_app.calls.caller import clean_name
from ari_app.calls.offer import NORMAL_CLEARING, Agent
from ari_app.flows.cleanup import cleaning_up
from ari_app.flows.legs import left
from ari_app.flows.ringing import CHANNEL_SECONDS, DIAL_RESERVE
from ari_app.flows.visit import Visit, bridge_prefix

logger = logging.getLogger(__name__)

E = TypeVar("E", bound=Event)

#: First argument with which the channels of a supervisor enter the application.
SUPERVISOR = "supervisor"

#: How long the supervisor's phone rings, s.
RING_SECONDS = 20

#: Whether the supervisor is still there, is looked at so often, s: an event that got lost costs no more.
LOOK_SECONDS = 60.0

#: What phones show while they ring.
SHOWN = {"listen": "Listen", "whisper": "Whisper", "barge": "Join"}


class CannotJoin(Exception):
    """The supervisor is not in the call; the message says why."""


class Supervisor:
    """One of the companions of a visit while the context lasts; given back, all of it, when it is left."""

    def __init__(self, visit: Visit, agent: Agent, kind: str) -> None:
        self._visit = visit
        self._agent = agent
        self._kind = kind
        self._ari = visit.ari
        self._events = visit.ari.subscribe()
        self._phone: Channel = visit.ari.channels.handle(channel_id())
        self._snoop_ids: set[str] = set()
        self._snoop: Channel | None = None
        "Hears the call, and whispers; the end of it is the end of this."
        self._snoops: list[Channel] = []
        self._bridge: Bridge | None = None
        self._over = False

    async def __aenter__(self) -> Self:
        self._visit.companions.append(self)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        with cleaning_up():
            await self._give_back()

    def owns(self, channel_id: str) -> bool:
        return channel_id == self._phone.id or channel_id in self._snoop_ids

    async def other_side_changed(self) -> None:
        """A snoop channel on the caller's goes with the call; one on the agent's ends with the agent."""

    async def close(self) -> None:
        """The call is over: the supervisor's phone is hung up, and the rest follows."""
        self._over = True
        await self._phone.hangup(reason_code=NORMAL_CLEARING)

    async def ring(self) -> None:
        """Until the supervisor answers. Raises CannotJoin."""
        name = self._agent.name
        other = self._visit.call.caller
        shown = clean_name(f"{SHOWN[self._kind]}: {other.name or other.number}")
        try:
            await self._ari.channels.create(
                endpoint=self._agent.endpoint,
                app_args=[SUPERVISOR, str(self._visit.call.id)],
                channel_id=self._phone.id,
                variables={"CONNECTEDLINE(num,i)": other.number, "CONNECTEDLINE(name,i)": shown},
                events=self._events,
            )
            await self._next(StasisStart, seconds=CHANNEL_SECONDS)
            await self._phone.set_variable("CDR_PROP(disable)", "1")  # it would be a call of its own in the records
            await self._phone.dial(timeout=RING_SECONDS + DIAL_RESERVE)
            async with asyncio.timeout(RING_SECONDS):
                while (await self._next(ChannelStateChange, seconds=RING_SECONDS)).channel.state != "Up":
                    continue
        except AriHttpError as error:
            raise CannotJoin(f"the phone {self._agent.endpoint} cannot be rung: {error}") from error
        except TimeoutError:
            raise CannotJoin(f"{name} did not pick up in {RING_SECONDS} s") from None

    async def join(self) -> None:
        """Bring the supervisor to the call. Raises CannotJoin."""
        visit = self._visit
        try:
            if self._kind == "barge":
                if visit.bridge is None:
                    raise CannotJoin("nobody talks in this call just now")
                await visit.bridge.add_channel(self._phone.id, inhibit_connected_line_updates=True)
                return
            if self._kind == "whisper":
                self._snoop = await self._whisper()
            else:
                self._snoop = await self._snoop_on(visit.caller.channel, "both")
            self._bridge = await self._ari.bridges.create(
                name=f"{bridge_prefix(self._ari.app)}{visit.call.id}-supervisor"
            )
            await self._bridge.add_channel(self._snoop.id, self._phone.id, inhibit_connected_line_updates=True)
        except AriHttpError as error:
            raise CannotJoin("the call was over, or the agent had left it") from error
        except TimeoutError:
            raise CannotJoin("Asterisk does not let the call be listened to") from None

    async def stay(self) -> None:
        """Until the supervisor hangs up, or the call (whispering: the agent's part of it) is over."""
        while True:
            try:
                await self._events.wait_for(Event, timeout=LOOK_SECONDS, where=self._is_the_end)
            except TimeoutError:
                try:
                    await self._phone.refresh()
                except NotFound:
                    return
                continue
            return

    async def _whisper(self) -> Channel:
        """A channel that hears the call, and that its agent hears."""
        visit = self._visit
        if visit.other_side is None or visit.bridge is None:
            raise CannotJoin("there is no agent in this call")
        third = await self._snoop_on(visit.caller.channel, "in")
        await visit.bridge.add_channel(third.id, mute=True, inhibit_connected_line_updates=True)
        return await self._snoop_on(visit.other_side, "both", whisper="out")

    async def _snoop_on(self, channel: Channel, spy: str, *, whisper: str = "none") -> Channel:
        """Raises AriHttpError when the channel is gone, TimeoutError."""
        snoop_id = channel_id()
        self._snoop_ids.add(snoop_id)
        self._events.watch(f"channel:{snoop_id}")
        args = (SUPERVISOR, str(self._visit.call.id))
        snoop = await channel.snoop(spy, whisper=whisper, app_args=args, snoop_id=snoop_id)
        self._snoops.append(snoop)
        await snoop.wait_for(StasisStart, timeout=CHANNEL_SECONDS)
        await snoop.set_variable("CDR_PROP(disable)", "1")
        return snoop

    async def _next(self, kind: type[E], *, seconds: float) -> E:
        """The next event of this kind of the phone's. Raises CannotJoin when the phone goes first, TimeoutError."""
        event = await self._events.wait_for(
            Event,
            timeout=seconds,
            where=lambda event: left(event, self._phone.id) or (isinstance(event, kind) and self._is_the_phones(event)),
        )
        if isinstance(event, kind) and not left(event, self._phone.id):
            return event
        if self._over:
            raise CannotJoin("the call was over before the phone was picked up")
        raise CannotJoin(f"{self._agent.name} did not take the call on {self._agent.endpoint}")

    def _is_the_phones(self, event: Event) -> bool:
        return isinstance(event, ChannelEvent) and event.channel.id == self._phone.id

    def _is_the_end(self, event: Event) -> bool:
        return left(event, self._phone.id) or (
            self._snoop is not None and isinstance(event, StasisEnd) and event.channel.id == self._snoop.id
        )

    async def _give_back(self) -> None:
        """The phone first: it must not ring on, nor stay in the call's bridge."""
        self._events.close()
        await self._try(self._phone.hangup(reason_code=NORMAL_CLEARING))
        for snoop in self._snoops:
            await self._try(snoop.hangup())
            snoop.close()
        if self._bridge is not None:
            await self._try(self._bridge.destroy())
            self._bridge.close()
        self._visit.companions.remove(self)

    async def _try(self, step: Awaitable[None]) -> None:
        try:
            await step
        except (AriError, TimeoutError) as error:
            logger.warning("call %s: while a supervisor leaves: %r", self._visit.call.id, error)
