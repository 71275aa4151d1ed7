"""What a killed predecessor left goes on: who talks talks on, who waited waits on in the same place.

Asterisk keeps channels, bridges, music and recordings while there is no application (measured, 22.10.1). Adopted is an
incoming call of which Asterisk and PostgreSQL tell the same: caller and agent alone in the call's bridge, or a caller
whom the record has in a group's queue. All else (prompts, menus, messages, transferred and outgoing calls) is ended.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from ari_app.ari import Bridge, Channel, NotFound
from ari_app.calls import ending
from ari_app.calls.call import State
from ari_app.calls.destination import Destination, Kind
from ari_app.calls.ending import EndedBy, Ending
from ari_app.flows.inbound import conclude, follow
from ari_app.flows.legs import CallerLeg
from ari_app.flows.recording import RECORDER, SIDES
from ari_app.flows.recording_keeper import Take, recorded_name
from ari_app.flows.ringing import Ringing
from ari_app.flows.talk import both_there, talk
from ari_app.flows.visit import Services, Visit, bridge_prefix
from ari_app.store.adoption import AdoptionStore, OpenCall
from ari_app.store.recordings import RecordingRow

logger = logging.getLogger(__name__)

#: First arguments with which callers enter the application.
CALLERS = frozenset({"whatsapp", "voice"})


class LeftRecording:
    """A recording that Asterisk goes on making; a companion of the visit. It ends with the call."""

    def __init__(self, visit: Visit, row: RecordingRow, snoops: Sequence[Channel]) -> None:
        self.id = row.id
        self.call_id = row.call_id
        self._visit = visit
        self._row = row
        self._snoops = snoops
        self._lives = [visit.ari.recordings.handle(name) for name in (recorded_name(row.id, side) for side in SIDES)]
        visit.services.recordings.begin(self)

    def owns(self, channel_id: str) -> bool:
        return any(snoop.id == channel_id for snoop in self._snoops)

    def is_agent(self, channel_id: str) -> bool:
        return self._visit.is_agent(channel_id)

    async def pause(self) -> None:
        for live in self._lives:
            await live.mute()

    async def resume(self) -> None:
        for live in self._lives:
            await live.unmute()

    async def other_side_changed(self) -> None:
        """The decoder stays: see recording.py."""

    async def close(self) -> None:
        for snoop in self._snoops:
            await snoop.hangup()
        self._visit.services.recordings.keep(Take(self._row))


@dataclass(frozen=True)
class Adopted:
    """A call that goes on."""

    visit: Visit
    agent: Ringing | None
    "Who talks with the caller; None while the caller waits."
    channels: frozenset[str]

    async def go_on(self) -> None:
        """Serve it to its end, as `serve` does."""
        await conclude(self.visit, self._stages)

    async def _stages(self, visit: Visit) -> Ending:
        visit.route = await visit.services.routes.find(visit.call.number)
        if self.agent is None:
            visit.moment = "while waiting for an agent"
            return await follow(visit, Destination.parse(visit.call.path[-1]))
        exchange, agent = visit.services.exchange, self.agent.agent
        try:
            if not await both_there(visit, self.agent.channel):
                return ending.talked(EndedBy.AGENT, agent.name)
            return await talk(visit, self.agent.channel, agent.name)
        finally:
            exchange.talked(visit.call.id, agent.id)


class Adoption:
    """What is there, before anything else is done with it."""

    def __init__(self, services: Services, store: AdoptionStore, node: str) -> None:
        self._services = services
        self._store = store
        self._node = node

    async def find(self, channels: Sequence[Channel], bridges: Sequence[Bridge]) -> list[Adopted]:
        """The calls that go on; agents who only rang are free. `channels` are those in our application.

        Raises AriError, StoreError.
        """
        known = await self._store.open_calls(self._node)
        if not known or not channels:
            return []
        callers: dict[str, list[Channel]] = {}
        for channel in channels:
            if CALLERS.intersection(_args(channel)[:1]) and (linkedid := await _linkedid(channel)):
                callers.setdefault(linkedid, []).append(channel)
        named = {bridge.data.name: bridge for bridge in bridges if bridge.data}
        found = []
        for left in known:
            of_call = callers.get(left.call.linkedid, [])
            if len(of_call) == 1 and sum(other.call.linkedid == left.call.linkedid for other in known) == 1:
                bridge = named.get(f"{bridge_prefix(self._services.ari.app)}{left.call.id}")
                legs = [channel for channel in channels if _args(channel)[1:2] == [str(left.call.id)]]
                adopted = self._adopt(left, of_call[0], legs, bridge)
                if adopted is not None:
                    logger.warning("call %s goes on: it was left by a predecessor", left.call.id)
                    found.append(adopted)
        await self._store.free_agents([adopted.visit.call.id for adopted in found if adopted.agent is None])
        return found

    def _adopt(self, left: OpenCall, channel: Channel, legs: list[Channel], bridge: Bridge | None) -> Adopted | None:
        inside = set(bridge.data.channels) if bridge is not None and bridge.data else set()
        agents = [leg for leg in legs if _args(leg)[0] == "agent" and leg.id in inside]
        talks = left.call.state is State.CONNECTED
        if talks and (left.offer is None or len(agents) != 1 or inside != {channel.id, agents[0].id}):
            return None
        if not talks and (inside or not _waits(left)):
            return None
        visit = Visit(self._services, left.call, CallerLeg(self._services.ari, channel), bridge=bridge)
        agent = self._with_agent(visit, left, agents[0]) if talks else None
        snoops = [leg for leg in legs if _args(leg)[0] == RECORDER]
        if left.recording is not None:
            visit.companions.append(LeftRecording(visit, left.recording, snoops))
        kept = [channel, *(agents if talks else []), *(snoops if left.recording is not None else [])]
        return Adopted(visit, agent, frozenset(leg.id for leg in kept))

    def _with_agent(self, visit: Visit, left: OpenCall, leg: Channel) -> Ringing:
        assert left.offer is not None
        agent, group = left.offer.agent, left.offer.group
        ringing = Ringing(visit.ari, visit.caller, visit.call, agent, group, 0)
        ringing.take_over(left.offer, leg)
        visit.rung[leg.id] = ringing
        visit.caller.events.watch(f"channel:{leg.id}")
        visit.services.exchange.hold(visit.call.id, agent.id, group)
        return ringing


def _waits(left: OpenCall) -> bool:
    try:
        return Destination.parse(left.call.path[-1]).kind in (Kind.GROUP, Kind.AGENT)
    except (IndexError, ValueError):
        return False


def _args(channel: Channel) -> list[str]:
    return channel.data.dialplan.app_data.split(",")[1:] or [""] if channel.data else [""]


async def _linkedid(channel: Channel) -> str | None:
    try:
        return await channel.get_variable("CHANNEL(linkedid)")
    except NotFound:
        return None
