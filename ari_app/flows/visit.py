"""A caller's visit: what all stages of a call share, and how everything is given back at the end."""

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass, field, replace
from typing import Protocol

from ari_app.ari import AriClient, AriError, Bridge, Channel
from ari_app.calls import ending
from ari_app.calls.call import Call, Direction, State
from ari_app.calls.caller import Caller
from ari_app.calls.ending import EndedBy, Ending
from ari_app.calls.offer import NORMAL_CLEARING, Offer
from ari_app.calls.route import Route
from ari_app.config import AppConfig
from ari_app.flows.entrance import now
from ari_app.flows.exchange import Exchange
from ari_app.flows.guard import Guard
from ari_app.flows.journal import Journal
from ari_app.flows.legs import GONE_SECONDS, CallerLeft, CallerLeg
from ari_app.flows.message_post import MessagePost
from ari_app.flows.recording_keeper import RecordingKeeper
from ari_app.flows.ringing import Ringing
from ari_app.flows.target_health import TargetHealth
from ari_app.store.admissions import AdmissionStore
from ari_app.store.groups import GroupStore
from ari_app.store.menus import MenuStore
from ari_app.store.permissions import PermissionStore
from ari_app.store.prompts import PromptStore
from ari_app.store.routes import RouteStore
from ari_app.store.schedules import ScheduleStore
from ari_app.store.sip_targets import SipTargetStore

logger = logging.getLogger(__name__)

#: Limit for hanging up and giving back all that a call has, s, also with an Asterisk that does not answer.
RELEASE_SECONDS = 6.0


@dataclass(frozen=True)
class Services:
    """What flows work with; one for all calls."""

    ari: AriClient
    journal: Journal
    routes: RouteStore
    groups: GroupStore
    prompts: PromptStore
    config: AppConfig
    exchange: Exchange
    menus: MenuStore
    sip_targets: SipTargetStore
    target_health: TargetHealth
    guard: Guard
    schedules: ScheduleStore
    admissions: AdmissionStore
    post: MessagePost
    recordings: RecordingKeeper
    permissions: PermissionStore | None = None
    "What users allow, where agents are to see it."


class Companion(Protocol):
    """Something that goes along with a visit (a recording) and is closed with it."""

    def owns(self, channel_id: str) -> bool:
        """Whether a channel in our application is its own."""
        ...

    async def other_side_changed(self) -> None:
        """The caller hears somebody else now. Raises nothing for Asterisk's sake."""
        ...

    async def close(self) -> None: ...


@dataclass
class Visit:
    """One caller from entering the application to the record's last word. Stages read and change it."""

    services: Services
    call: Call
    caller: CallerLeg
    route: Route | None = None
    moment: str = "before the call was answered"
    "Where in the flow, for `the caller hung up <moment>`."
    rung: dict[str, Ringing] = field(default_factory=dict)
    "Agents' legs that exist now, by channel id; with the one who talks."
    offers: list[Offer] = field(default_factory=list)
    "Offers that are over."
    notes: list[str] = field(default_factory=list)
    "Why nobody was there to be asked, for the record."
    legs: dict[str, Channel] = field(default_factory=dict)
    "Legs that are nobody's offer (SIP targets), by channel id."
    hangup_cause: int = NORMAL_CLEARING
    "Q.850, with which the caller's channel is hung up at the end."
    handed_over: bool = False
    "The caller's channel went on in the dialplan and is no longer ours to hang up."
    menus: list[str] = field(default_factory=list)
    "Menus that the caller came through, for `back`."
    remark: str = ""
    "Shown to agents behind the caller's name."
    typed: str = ""
    "Pressed before the menu began to ask, for the menu."
    bridge: Bridge | None = None
    desk: str = ""
    "The channel of the agent who calls out."
    companions: list[Companion] = field(default_factory=list)
    other_side: Channel | None = None
    "With whom the person at the other end talks: an agent, or where the agent has transferred them."
    ended_from_outside: str | None = None
    "Who ended the call, and how, when it was nobody on the line."

    @property
    def ari(self) -> AriClient:
        return self.services.ari

    @property
    def introduced(self) -> Caller:
        """The caller as agents' phones show it."""
        caller = self.call.caller
        return replace(caller, name=f"{caller.name or caller.number} · {self.remark}") if self.remark else caller

    def owns(self, channel_id: str) -> bool:
        """Whether a channel is a leg of this call."""
        return (
            channel_id == self.caller.id
            or channel_id in self.rung
            or channel_id in self.legs
            or any(companion.owns(channel_id) for companion in self.companions)
        )

    def is_agent(self, channel_id: str) -> bool:
        """Whether a channel is the leg to an agent."""
        return channel_id in self.rung or channel_id == self.desk

    async def save(self, *offers: Offer) -> None:
        """Write the call as it stands, and these offers."""
        await self.services.journal.save(self.call, *offers)

    async def hang_up(self, reason: str) -> None:
        """End the call from outside; `reason` goes into the record. The flow sees the caller leave."""
        self.ended_from_outside = reason
        await self._try(self.caller.channel.hangup(reason_code=self.hangup_cause))

    async def step(self, what: str) -> None:
        """Note where the caller goes: part of the record's path."""
        self.call = replace(self.call, path=(*self.call.path, what[:100]))
        await self.save()

    async def play(self, media: str) -> None:
        """Play a sound of Asterisk (`sound:…`) or of the catalogue (`prompt:…`) to its end. Raises CallerLeft."""
        await self.caller.play(await self.services.prompts.uri(media))

    async def play_before_menu(self, media: str) -> None:
        """As `play`; a caller who knows the menu behind it may type on, which ends the prompt. Raises CallerLeft."""
        self.typed = await self.caller.play(await self.services.prompts.uri(media), until_digit=True)

    async def turn_away(self, result: Ending, media: str) -> Ending:
        """Tell the caller why nobody comes. The result is settled, whether or not the caller listens to the end."""
        try:
            await self.play(media)
        except CallerLeft:
            return result.hung_up_by_user()
        return result

    async def other_side_changed(self) -> None:
        """The caller hears somebody else now: of the companions, a recording has to know."""
        for companion in self.companions:
            await companion.other_side_changed()

    def caller_left(self) -> Ending:
        if self.ended_from_outside is not None:
            return self.fault(self.ended_from_outside)
        if self.caller.taken_away:
            return self.fault("the caller was taken out of the application")
        outbound = self.call.direction is Direction.OUTBOUND
        if self.call.state is State.CONNECTED:
            return ending.talked(EndedBy.USER, user="the user" if outbound else "the caller")
        return ending.cancelled(self.moment) if outbound else ending.abandoned(self.moment)

    def fault(self, reason: str) -> Ending:
        return ending.fault(reason, connected=self.call.connected_at is not None)

    async def finish(self, result: Ending, write_limit: float) -> None:
        """Hang up, give everything back, write the record; `write_limit` in s."""
        at = now()
        if self.call.connected_at is not None:
            result = ending.of_one_who_talked(result)
        await self._release()
        for ringing in self.rung.values():
            ringing.abandon(result.reason)
            self.offers.append(ringing.offer)
        self.call = self.call.ended(result, at)
        logger.info("call %s ended: %s by %s: %s", self.call.id, result.status, result.ended_by, result.reason)
        await self.services.journal.close(self.call, self.offers, write_limit)

    async def _release(self) -> None:
        """Hang up the agents' legs, then the caller's, and dissolve the bridge when all are gone.

        In this order: a phone must not ring on for a caller who left, and a bridge that dissolves under a
        channel can overwrite its hangup cause (asterisk#1124).
        """
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._hang_up_all()
        except TimeoutError:
            logger.error("call %s: not all could be hung up within %g s", self.call.id, RELEASE_SECONDS)
        finally:
            self.caller.close()
            if self.bridge is not None:
                self.bridge.close()

    async def _hang_up_all(self) -> None:
        for ringing in self.rung.values():
            await self._try(ringing.stop(NORMAL_CLEARING))
        for leg in self.legs.values():
            await self._try(leg.hangup(reason_code=NORMAL_CLEARING))
        if not (self.handed_over or self.caller.taken_away):
            await self._try(self.caller.channel.hangup(reason_code=self.hangup_cause))
            await self._try(self.caller.gone(GONE_SECONDS))
        for companion in self.companions.copy():
            await self._try(companion.close())
        if self.bridge is not None:
            await self._try(self.bridge.destroy())

    async def _try(self, step: Awaitable[None]) -> None:
        """One step of giving back; that it fails must not keep the others from being done."""
        try:
            await step
        except (AriError, TimeoutError) as error:
            logger.warning("call %s: while hanging up: %r", self.call.id, error)


def bridge_prefix(app: str) -> str:
    """How the names of our bridges begin, so that a successor of this process finds what it left."""
    return f"{app}:"
