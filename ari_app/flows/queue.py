"""Waiting for an agent: of a group, of several groups together, or one agent who was dialled directly."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from ari_app.ari import NotFound
from ari_app.ari.events import ChannelDtmfReceived, Event, PlaybackFinished
from ari_app.calls import ending
from ari_app.calls.call import ChannelType, State
from ari_app.calls.destination import Destination, Kind
from ari_app.calls.ending import Ending
from ari_app.calls.group import Group
from ari_app.calls.offer import Outcome
from ari_app.flows.cleanup import cleaning_up
from ari_app.flows.entrance import now
from ari_app.flows.exchange import Exchange
from ari_app.flows.legs import left
from ari_app.flows.notices import Offered, SentOn
from ari_app.flows.pastime import Pastime
from ari_app.flows.phones import Phones, RingingOver
from ari_app.flows.ringing import Ringing
from ari_app.flows.roster import direct_rules
from ari_app.flows.talk import Unanswered, join, leave, prepare, talk_or_come_back
from ari_app.flows.visit import Visit
from ari_app.queueing import Why

logger = logging.getLogger(__name__)

#: How long a phone rings that was dialled directly, s, and what is heard when nobody answers it.
DIRECT_RING_SECONDS = 25
NOBODY_THERE = "sound:vm-nobodyavail"

#: Limit for what is whispered to an agent, s.
WHISPER_SECONDS = 10.0

#: A caller waits for events; this is only in case that nothing ever comes, s.
LOOK_SECONDS = 60.0


async def wait_for_agent(visit: Visit, target: str) -> Destination | Ending:
    """Wait for an agent of the group `target`, then talk. Raises CallerLeft, StoreError."""
    names = [target]
    if visit.route is not None and visit.route.groups_together and visit.route.groups[:1] == (target,):
        names = list(visit.route.groups)
    groups = [group for name in names if (group := await visit.services.groups.find_group(name)) is not None]
    if not groups:
        logger.error("call %s: there is no group %s", visit.call.id, target)
        return await visit.turn_away(
            ending.fault(f"there is no group {target}", connected=False), visit.services.config.fault_prompt
        )
    return await Queue(visit, groups).run() or _next(visit, groups[0])


async def wait_for_this_agent(visit: Visit, extension: str) -> Destination | Ending:
    """Ring the agent with this extension, then talk; else on to the number's group. Raises CallerLeft."""
    route = visit.route
    onwards = Destination(Kind.HANGUP, NOBODY_THERE)
    if route is not None and route.groups:
        onwards = Destination(Kind.GROUP, route.groups[0])
    if visit.services.exchange.agent_by_extension(extension) is None:
        logger.warning("call %s: there is no agent with extension %s", visit.call.id, extension)
        return onwards
    alone = Group(
        rules=direct_rules(extension),
        ring_seconds=DIRECT_RING_SECONDS,
        service_level_seconds=DIRECT_RING_SECONDS,
        no_agent=onwards,
        music_class="default",
        waiting_interval_seconds=DIRECT_RING_SECONDS,
        announce_position=False,
        announce_wait=False,
        exit_digit=None,
        exit_to=None,
        whisper=None,
    )
    return await Queue(visit, [alone]).run() or onwards


def _next(visit: Visit, group: Group) -> Destination:
    """Where to go when nobody of this group came: to the number's next group, or as the group says."""
    route = visit.route
    if route is not None and not route.groups_together and group.name in route.groups:
        following = route.groups[route.groups.index(group.name) + 1 :]
        if following:
            return Destination(Kind.GROUP, following[0])
    return group.no_agent


@dataclass(frozen=True)
class GoOn:
    """The caller no longer waits here; None is to wherever nobody came."""

    to: Destination | None


class Queue:
    """One caller's wait in one queue. The first of several groups says what the caller hears."""

    def __init__(self, visit: Visit, groups: Sequence[Group]) -> None:
        self._visit = visit
        self._group = groups[0]
        self._groups = {group.name: group for group in groups}
        self._exchange: Exchange = visit.services.exchange
        self._phones = Phones(visit)
        self._pastime = Pastime(
            visit,
            self._group,
            lambda: self._exchange.position(visit.call.id),
            lambda: self._exchange.estimate(visit.call.id),
        )

    async def run(self) -> Destination | Ending | None:
        """Wait, and talk. None when nobody came. Raises CallerLeft."""
        visit, call = self._visit, self._visit.call
        visit.moment = "while waiting for an agent"
        if call.state is not State.QUEUED:
            visit.call = call = call.queued(now())
            await visit.save()
        queued_at = call.queued_at or now()
        why = self._exchange.join(
            call,
            [group.rules for group in self._groups.values()],
            visit.caller.events,
            priority=visit.route.priority if visit.route is not None else 10,
            joined_at=queued_at.timestamp(),
            voip_only=self._needs_voip(),
        )
        if why is not None:
            self._note(why)
            return None
        try:
            await visit.caller.introduce(call.caller)
            await self._pastime.start()
            after = await self._wait()
            if isinstance(after, GoOn):
                await self._pastime.stop()
        finally:
            self._exchange.leave(call.id)
            self._pastime.close()
            with cleaning_up():
                await self._silence()
        if isinstance(after, Ringing):
            return await self._talk(after)
        return after.to

    def _needs_voip(self) -> bool:
        """Meta's terms: no leg of a WhatsApp call may touch the telephone network."""
        guard = self._visit.services.guard
        return self._visit.call.channel_type is ChannelType.WHATSAPP and not guard.may_join(
            self._visit.call, voip_only=False
        )

    async def _wait(self) -> Ringing | GoOn:
        """Until somebody has been joined, or the caller goes on."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                event = await self._visit.caller.wait_for(
                    Offered,
                    SentOn,
                    RingingOver,
                    ChannelDtmfReceived,
                    PlaybackFinished,
                    timeout=max(0.0, min(self._pastime.due - loop.time(), LOOK_SECONDS)),
                )
            except TimeoutError:
                if self._pastime.due <= loop.time():
                    await self._pastime.announce()
                else:
                    await self._look()
                continue
            match event:
                case Offered():
                    await self._ring(event)
                case RingingOver():
                    if (answered := await self._after_ringing(event)) is not None:
                        return answered
                case SentOn():
                    self._note(event.why)
                    return GoOn(None)
                case ChannelDtmfReceived():
                    if event.channel.id == self._visit.caller.id and event.digit == self._group.exit_digit:
                        await self._visit.step(f"digit:{event.digit}")
                        return GoOn(self._group.exit_to)
                case PlaybackFinished():
                    await self._pastime.heard(event)

    async def _ring(self, offered: Offered) -> None:
        """The agent is reserved for this caller."""
        visit = self._visit
        group = self._groups.get(offered.group, self._group)
        if not self._pastime.is_announcing:  # Asterisk would set variables when the prompt is over, not before
            await visit.caller.introduce(visit.introduced)
        ringing = self._phones.ring(offered.agent, self._shown(offered.group), group.ring_seconds)
        visit.moment = f"while {self._names()} was ringing"
        if visit.call.state is not State.RINGING:
            visit.call = visit.call.ringing()
        await visit.save(ringing.offer)
        await prepare(visit)

    async def _after_ringing(self, event: RingingOver) -> Ringing | None:
        """A phone was answered, or rings no longer. The one whose agent has been joined with the caller."""
        visit = self._visit
        if event.channel_id not in {ringing.channel.id for ringing in self._phones.ringing}:
            return None
        ringing = await self._phones.result(event)
        if event.answered:
            for loser in await self._phones.answered_elsewhere(ringing.agent):
                await self._is_over(loser)
            if await self._join(ringing):
                return ringing
            ringing.lost()
            await ringing.stop()
            del visit.rung[ringing.channel.id]
            visit.offers.append(ringing.offer)
            await self._pastime.resume()
        logger.info("call %s: %s", visit.call.id, ringing.offer.reason)
        if not self._phones.ringing:
            visit.moment = "while waiting for an agent"
            visit.call = visit.call.queued(now())
        await self._is_over(ringing)
        return None

    async def _join(self, ringing: Ringing) -> bool:
        """Whisper to the agent, silence for the caller, and both together; False if the agent has gone."""
        visit, group = self._visit, self._groups.get(ringing.offer.group or "", self._group)
        if group.whisper is not None and not await self._whisper(ringing, group.whisper):
            return False
        await self._pastime.stop()
        if not await join(visit, ringing.channel, ringing.agent.id):
            return False
        ringing.answered()
        self._exchange.over(visit.call.id, ringing.agent.id, Outcome.ANSWERED)
        await visit.save(ringing.offer)
        return True

    async def _whisper(self, ringing: Ringing, media: str) -> bool:
        """Play to the agent, while the caller goes on hearing music; False when the agent hangs up."""
        visit = self._visit
        try:
            playback = await ringing.channel.play(await visit.services.prompts.uri(media))
        except NotFound:
            return False
        with playback:
            try:
                event = await visit.caller.wait_for(
                    Event,
                    timeout=WHISPER_SECONDS,
                    where=lambda event: (
                        left(event, ringing.channel.id)
                        or (isinstance(event, PlaybackFinished) and event.playback.id == playback.id)
                    ),
                )
            except TimeoutError:
                await playback.stop()
                return True
        return not left(event, ringing.channel.id)

    async def _talk(self, ringing: Ringing) -> Destination | Ending | None:
        try:
            result = await talk_or_come_back(self._visit, ringing.channel, ringing.agent.name)
        finally:
            self._exchange.talked(self._visit.call.id, ringing.agent.id)
        return await self._take_back(result) if isinstance(result, Unanswered) else result

    async def _take_back(self, transfer: Unanswered) -> Destination | None:
        """The caller waits again, in the place of before, for agents of these groups."""
        visit = self._visit
        note = f"{transfer.name} did not take the transferred call"
        logger.info("call %s: %s, the caller waits again", visit.call.id, note)
        visit.notes.append(note)
        await visit.step("back from transfer")
        await leave(visit)
        return None if self._shown(self._group.name) is None else Destination(Kind.GROUP, self._group.name)

    async def _silence(self) -> None:
        """No phone rings for this caller any more."""
        for ringing in await self._phones.silence():
            self._exchange.over(ringing.offer.call_id, ringing.agent.id, ringing.offer.outcome or Outcome.CANCELLED)

    async def _is_over(self, ringing: Ringing) -> None:
        """Tell the exchange first: the next phone is to ring soon."""
        self._exchange.over(ringing.offer.call_id, ringing.agent.id, ringing.offer.outcome or Outcome.CANCELLED)
        await self._visit.save(ringing.offer)

    async def _look(self) -> None:
        """Whether the caller is still there: an event may have got lost. Raises CallerLeft."""
        async with self._visit.caller.asking():
            await self._visit.caller.channel.refresh()

    def _note(self, why: Why) -> None:
        """Why nobody came; the administrator is told when it is because of the PSTN guard."""
        call, where = self._visit.call, self._shown(self._group.name) or "the agent"
        logger.info("call %s waits no longer for %s: %s", call.id, where, why)
        self._visit.notes.append(f"{where}: {why}")
        if why is Why.NOBODY and self._needs_voip():
            for name in self._exchange.kept_out(self._groups):
                self._visit.notes.append(self._visit.services.guard.refuse(call, f"agent {name}"))

    def _names(self) -> str:
        return ", ".join(ringing.agent.name for ringing in self._phones.ringing)

    def _shown(self, group: str) -> str | None:
        """The group's name in records; a directly dialled agent rings for no group."""
        return group if group in self._groups and group.isprintable() else None
