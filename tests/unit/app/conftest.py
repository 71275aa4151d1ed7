"""A PBX inside the process with one caller and one agent's phone, on the fake ARI server."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from ari_app.ari import AriClient
from ari_app.ari.events import StasisStart
from ari_app.ari.testing import FakeAri, Reply, Request
from ari_app.calls.call import Call
from ari_app.calls.offer import Agent, Offer
from ari_app.calls.route import Route
from ari_app.config import AppConfig
from ari_app.flows.entrance import read_call
from ari_app.flows.inbound import InboundCall, Services
from ari_app.flows.journal import Journal
from ari_app.flows.legs import CallerLeg
from ari_app.store.calls import CallStore
from ari_app.store.database import Database, StoreUnavailable
from ari_app.store.routes import RouteStore

AGENT = Agent(uuid.uuid4(), "Agent 1001", "PJSIP/1001")
NUMBER = "15550783881"


def route(ring_seconds: int = 3) -> Route:
    return Route(NUMBER, AGENT, "sound:entry", "sound:nobody", "default", ring_seconds)


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
    call: InboundCall | None = None

    async def serve(self, *args: str, exten: str = NUMBER) -> Call:
        """Let the caller in and serve the call to its end; the call as it was in the end."""
        services = Services(self.client, Journal(self.store), self.store, AppConfig.model_validate({}))
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
            self.call = InboundCall(services, await read_call(start, leg.channel), leg)
            await self.call.run()
        finally:
            leg.close()
        return self.call.call

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
            pbx.log.clear()
            yield House(ari, pbx, client, FakeStore())
