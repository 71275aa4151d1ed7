"""A PBX inside the process with one caller and one agent's phone, on the fake ARI server."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ari_app.ari import AriClient
from ari_app.ari.events import StasisStart
from ari_app.ari.testing import FakeAri, Reply, Request
from ari_app.calls.call import Call
from ari_app.calls.destination import Destination, Kind
from ari_app.calls.group import Group
from ari_app.calls.offer import Agent, Offer
from ari_app.calls.route import Incoming, Route
from ari_app.config import AppConfig
from ari_app.flows.entrance import read_call
from ari_app.flows.exchange import Exchange
from ari_app.flows.guard import Guard
from ari_app.flows.inbound import serve
from ari_app.flows.journal import Journal
from ari_app.flows.legs import CallerLeg
from ari_app.flows.message_post import MessagePost
from ari_app.flows.recording_keeper import RecordingKeeper
from ari_app.flows.target_health import TargetHealth
from ari_app.flows.visit import Services, Visit
from ari_app.queueing import JoinEmpty, LeaveEmpty, Memory, Rules
from ari_app.store.admissions import AdmissionStore
from ari_app.store.agents import AgentStore, Release, Standing
from ari_app.store.calls import CallStore
from ari_app.store.database import Database, StoreUnavailable
from ari_app.store.group_memory import GroupMemoryStore
from ari_app.store.groups import GroupStore
from ari_app.store.menus import MenuStore
from ari_app.store.prompts import PromptStore
from ari_app.store.queue import QueueStore, Waiting
from ari_app.store.recordings import RecordingStore
from ari_app.store.routes import RouteStore
from ari_app.store.schedules import ScheduleStore
from ari_app.store.sip_targets import SipTargetStore
from ari_app.store.voicemails import VoicemailStore

AGENT = Agent(uuid.uuid4(), "Agent 1001", "PJSIP/1001", voip_only=True)
NUMBER = "15550783881"


def route() -> Route:
    return Route(
        number=NUMBER,
        incoming=Incoming.AGENT_GROUP,
        groups=("Agents",),
        groups_together=False,
        menu=None,
        handled_by_sip=False,
        calling_enabled=True,
        schedule=None,
        max_calls=None,
        priority=10,
        entry_prompt="sound:entry",
        waiting_prompt=None,
        voicemail_prompt="sound:vm-intro",
        consent_prompt=None,
        recording=False,
        recording_days=None,
    )


def group(ring_seconds: int = 3) -> Group:
    return Group(
        rules=Rules("Agents", join_empty=JoinEmpty.ALWAYS, leave_empty=LeaveEmpty.NEVER),
        ring_seconds=ring_seconds,
        service_level_seconds=20,
        no_agent=Destination(Kind.HANGUP, "sound:nobody"),
        music_class="default",
        waiting_interval_seconds=45,
        announce_position=False,
        announce_wait=False,
        exit_digit=None,
        exit_to=None,
        whisper=None,
    )


class FakeStore(CallStore, RouteStore):
    """Keeps what is written, or is away."""

    def __init__(self) -> None:
        super().__init__(Database("postgresql://nowhere"))
        self.routes = {NUMBER: route()}
        self.calls: list[Call] = []
        self.offers: dict[uuid.UUID, Offer] = {}
        self.away = False

    async def save(self, call: Call, offers: Sequence[Offer] = ()) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailable("connection refused")
        self.calls.append(call)
        self.offers |= {offer.id: offer for offer in offers}

    async def find(self, number: str) -> Route | None:
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailable("connection refused")
        return self.routes.get(number)


class FakeGroups(GroupStore):
    def __init__(self) -> None:
        super().__init__(Database("postgresql://nowhere"))
        self.groups = {"Agents": group()}

    async def find_group(self, name: str) -> Group | None:
        return self.groups.get(name)

    async def all_rules(self) -> list[Rules]:
        return [group.rules for group in self.groups.values()]


class FakeAgents(AgentStore):
    """One agent, whose reservation is kept here."""

    def __init__(self) -> None:
        super().__init__(Database("postgresql://nowhere"))
        self.reserved: dict[uuid.UUID, uuid.UUID] = {}
        self.releases: list[Release] = []

    async def load(self, agents: Iterable[uuid.UUID] | None = None) -> list[Standing]:
        return [
            Standing(
                AGENT,
                extension="1001",
                groups={"Agents": 1},
                enabled=True,
                logged_in=True,
                paused=False,
                call_id=self.reserved.get(AGENT.id),
                available_after=0.0,
                idle_since=0.0,
                answered=0,
            )
        ]

    async def reserve(self, wanted: Sequence[tuple[uuid.UUID, uuid.UUID]]) -> set[uuid.UUID]:
        await asyncio.sleep(0)
        got = {agent: call for agent, call in wanted if agent not in self.reserved}
        self.reserved |= got
        return set(got)

    async def release(self, releases: Sequence[Release]) -> None:
        self.releases += releases
        for release in releases:
            if self.reserved.get(release.agent) == release.call:
                del self.reserved[release.agent]

    async def clear_ended(self) -> int:
        return 0


class FakeQueue(QueueStore):
    def __init__(self) -> None:
        super().__init__(Database("postgresql://nowhere"))
        self.waiting: set[uuid.UUID] = set()

    async def join(self, waiting: Sequence[Waiting]) -> None:
        self.waiting |= {w.call for w in waiting}

    async def leave(self, calls: Sequence[uuid.UUID]) -> None:
        self.waiting -= set(calls)

    async def clear_ended(self) -> None:
        return

    async def listen(self, told: Callable[[str, str], None], begun: Callable[[], None]) -> None:
        await asyncio.Event().wait()


class FakeMemory(GroupMemoryStore):
    def __init__(self) -> None:
        super().__init__(Database("postgresql://nowhere"))
        self.kept: dict[str, Memory] = {}

    async def load(self) -> dict[str, Memory]:
        return self.kept

    async def save(self, memories: Sequence[tuple[str, Memory]]) -> None:
        self.kept |= dict(memories)


@dataclass
class FakePbx:
    """Channels as Asterisk would have them: requests change them, and events tell."""

    ari: FakeAri
    agent_does: str = "answers"
    "answers, rings, rejects, is silent, is unregistered, is busy, is lost, or hangs up at once"
    leave_at: int | None = None
    "The caller hangs up when this many requests have come, before the last of them is answered."
    alive: set[str] = field(default_factory=lambda: {"caller"})
    bridges: set[str] = field(default_factory=set)
    causes: dict[str, int] = field(default_factory=dict)
    joined: set[str] = field(default_factory=set)
    prompts: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    async def handle(self, request: Request) -> Reply:
        parts = request.path.split("/")[1:]
        self.log.append(f"{request.method} {request.path}")
        if self.leave_at == len(self.log):
            await self.hang_up("caller", 16)
        match request.method, parts:
            case "POST", ["applications", name, "subscription"]:
                return 200, {"name": name}
            case "GET", ["deviceStates", *name]:
                return 200, {"name": "/".join(name), "state": "NOT_INUSE"}
            case "GET", ["channels"]:
                return 200, [{"id": channel} for channel in self.alive]
            case "POST", ["channels", "create"]:
                return await self._create(request.query["channelId"])
            case "DELETE", ["channels", channel]:
                if channel not in self.alive:
                    return 404, {"message": "Channel not found"}
                await self.hang_up(channel, int(request.query["reason_code"]))
                return 204, None
            case _, ["channels", channel, *_] if channel not in self.alive:
                return 404, {"message": "Channel not found"}
            case "GET", ["channels", channel, "variable"]:
                return 200, {"value": "linked.1"}
            case "POST", ["channels", channel, "play", playback]:
                self.prompts.append(request.query["media"])
                data = {"id": playback, "target_uri": f"channel:{channel}", "state": "done"}
                await self.ari.send("PlaybackFinished", playback=data)
                return 201, data
            case "POST", ["channels", channel, "dial"]:
                await self._dial(channel)
                return 204, None
            case "POST", ["bridges", bridge, "addChannel"]:
                if not set(request.query["channel"].split(",")) <= self.alive:
                    return 400, {"message": "Channel not found"}
                self.joined = set(request.query["channel"].split(","))
                return 204, None
            case "POST", ["bridges", bridge]:
                self.bridges.add(bridge)
                return 200, {"id": bridge}
            case "DELETE", ["bridges", bridge]:
                self.bridges.discard(bridge)
                return 204, None
            case "GET", ["channels", channel]:
                return 200, {"id": channel, "state": "Up"}
            case _:
                return 204, None

    async def hang_up(self, channel: str, cause: int) -> None:
        if channel in self.alive:
            self.alive.discard(channel)
            self.causes[channel] = cause
            snapshot = {"id": channel}
            await self.ari.send("ChannelHangupRequest", channel=snapshot, cause=cause)
            await self.ari.send("StasisEnd", channel=snapshot)
            await self.ari.send("ChannelDestroyed", channel=snapshot, cause=cause, cause_txt="")

    async def _create(self, channel: str) -> Reply:
        if self.agent_does == "is unregistered":
            return 500, {"message": "Allocation failed"}
        self.alive.add(channel)
        if self.agent_does == "is lost":
            await self.hang_up(channel, 0)
            return 200, {"id": channel, "state": "Down"}
        await self.ari.send("StasisStart", channel={"id": channel}, args=["agent", "x"])
        return 200, {"id": channel, "state": "Down"}

    async def _dial(self, channel: str) -> None:
        peer = {"id": channel}
        if self.agent_does != "is silent":
            await self.ari.send("ChannelStateChange", channel={"id": channel, "state": "Ringing"})
        match self.agent_does:
            case "rejects":
                await self.hang_up(channel, 21)
            case "is busy":
                await self.ari.send("Dial", peer=peer, dialstatus="BUSY")
            case "answers" | "hangs up at once":
                await self.ari.send("ChannelStateChange", channel={"id": channel, "state": "Up"})
        if self.agent_does == "hangs up at once":
            await self.hang_up(channel, 16)

    @property
    def agents(self) -> set[str]:
        return self.alive - {"caller"}


@dataclass
class House:
    """What a test needs of a running application, for one call."""

    ari: FakeAri
    pbx: FakePbx
    client: AriClient
    store: FakeStore
    groups: FakeGroups
    agents: FakeAgents
    queue: FakeQueue
    exchange: Exchange
    own_subscriptions: int = 0
    "Of the exchange, not of the call."
    visit: Visit | None = None

    async def serve(self, *args: str, exten: str = NUMBER) -> Call:
        """Let the caller in and serve the call to its end; the call as it was in the end."""
        nowhere = Database("postgresql://nowhere")
        targets = SipTargetStore(nowhere)
        config = AppConfig.model_validate({})
        services = Services(
            self.client,
            Journal(self.store),
            self.store,
            self.groups,
            PromptStore(nowhere),
            config,
            exchange=self.exchange,
            menus=MenuStore(nowhere),
            sip_targets=targets,
            target_health=TargetHealth(self.client, targets, 15),
            guard=Guard(),
            schedules=ScheduleStore(nowhere),
            admissions=AdmissionStore(nowhere),
            post=MessagePost(VoicemailStore(nowhere), self.client, Path("/nowhere"), None),
            recordings=RecordingKeeper(self.client, RecordingStore(nowhere), Path("/nowhere")),
        )
        snapshot: dict[str, Any] = {
            "id": "caller",
            "caller": {"name": "Anna", "number": "030123"},
            "dialplan": {"exten": exten, "app_name": "Stasis"},
        }
        start = StasisStart.model_validate(
            {"type": "StasisStart", "channel": snapshot, "args": list(args or ("voice", NUMBER))}
        )
        leg = CallerLeg(self.client, self.client.channels.handle("caller", start.channel))
        try:
            self.visit = Visit(services, await read_call(start, leg.channel), leg)
            await serve(self.visit)
            self.exchange.forget(self.visit.call.id)
        finally:
            leg.close()
        return self.visit.call

    @property
    def offer(self) -> Offer:
        (offer,) = self.store.offers.values()
        return offer


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with FakeAri() as ari:
        pbx = FakePbx(ari)
        ari.everything = pbx.handle
        async with AriClient(ari.url, ari.username, ari.password, "app", request_timeout=2.0) as client:
            groups, agents, queue = FakeGroups(), FakeAgents(), FakeQueue()
            async with Exchange(client, agents, queue, groups, FakeMemory()) as exchange:
                await asyncio.sleep(0)
                pbx.log.clear()
                house = House(ari, pbx, client, FakeStore(), groups, agents, queue, exchange)
                house.own_subscriptions = client.subscriptions
                yield house
