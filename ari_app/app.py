"""The Stasis application: takes calls in, one task each, and gives everything back when it stops."""

import asyncio
import logging
import socket
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

from ari_app.ari import AriClient, AriError, Channel, Subscription
from ari_app.ari.events import Reconnected, StasisStart
from ari_app.calls.offer import SWITCH_CONGESTION, TEMPORARY_FAILURE
from ari_app.config import Config
from ari_app.flows.adoption import Adopted, Adoption
from ari_app.flows.call_back import CallBack
from ari_app.flows.calling_out import OUTBOUND, CallingOut
from ari_app.flows.cleanup import cleaning_up
from ari_app.flows.clearance import Clearance
from ari_app.flows.consent import Consent
from ari_app.flows.device_keeper import DeviceKeeper
from ari_app.flows.entrance import read_call
from ari_app.flows.exchange import Exchange
from ari_app.flows.facts import WANTED, Facts
from ari_app.flows.feature_codes import AGENT_CODE, FeatureCodes
from ari_app.flows.guard import Guard
from ari_app.flows.inbound import serve
from ari_app.flows.journal import Journal
from ari_app.flows.legs import CallerLeg
from ari_app.flows.message_mail import Mailer
from ari_app.flows.message_post import MessagePost
from ari_app.flows.nodes import Node
from ari_app.flows.outgoing import Switchroom
from ari_app.flows.recording_keeper import RecordingKeeper
from ari_app.flows.recording_keys import RecordingKeys
from ari_app.flows.supervision import Supervision
from ari_app.flows.supervisor import SUPERVISOR
from ari_app.flows.target_health import TargetHealth
from ari_app.flows.visit import Services, Visit, bridge_prefix
from ari_app.store.admissions import AdmissionStore
from ari_app.store.adoption import AdoptionStore
from ari_app.store.agents import AgentStore
from ari_app.store.billing import BillingStore
from ari_app.store.call_requests import CallRequestStore
from ari_app.store.calls import CallStore
from ari_app.store.database import Database
from ari_app.store.device_states import DeviceStateStore
from ari_app.store.feature_codes import FeatureCodeStore
from ari_app.store.group_memory import GroupMemoryStore
from ari_app.store.groups import GroupStore
from ari_app.store.letters import LetterStore
from ari_app.store.menus import MenuStore
from ari_app.store.nodes import NodeStore
from ari_app.store.orders import OrderStore
from ari_app.store.outgoing import OutgoingStore
from ari_app.store.permissions import PermissionStore
from ari_app.store.prompts import PromptStore
from ari_app.store.queue import QueueStore
from ari_app.store.record_upkeep import RecordUpkeep
from ari_app.store.recordings import RecordingStore
from ari_app.store.routes import RouteStore
from ari_app.store.schedules import ScheduleStore
from ari_app.store.sip_targets import SipTargetStore
from ari_app.store.voicemails import VoicemailStore

logger = logging.getLogger(__name__)

#: First arguments with which our own legs enter the application: to agents, for recording, and to supervisors.
OWN_LEGS = frozenset({"agent", "recorder", SUPERVISOR})

#: How many channels we remember to have served, to tell a leftover from a caller whose StasisStart got lost.
REMEMBERED = 4096


class Application:
    """Serves calls until told to stop. One for each Asterisk."""

    def __init__(self, config: Config) -> None:
        self._config = config.app
        self._database = Database(config.postgres.dsn.get_secret_value())
        self._ari = AriClient(
            config.ari.url, config.ari.username, config.ari.password.get_secret_value(), config.app.name
        )
        node = config.app.node or socket.gethostname()
        self._store = CallStore(self._database, node)
        self._node = Node(node, NodeStore(self._database), self._store)
        targets = SipTargetStore(self._database)
        self._target_health = TargetHealth(self._ari, targets, config.app.sip_target_qualify_seconds)
        self._recordings = RecordingKeeper(self._ari, RecordingStore(self._database), config.app.recordings_folder)
        mail = config.app.mail
        self._post = MessagePost(
            VoicemailStore(self._database, node if mail else None),
            self._ari,
            config.app.voicemail_folder,
            Mailer(mail, LetterStore(self._database, node)) if mail else None,
        )
        self._codes = FeatureCodes(self._ari, FeatureCodeStore(self._database), config.app.pause_reasons)
        groups, memory = GroupStore(self._database), GroupMemoryStore(self._database)
        self._exchange = Exchange(self._ari, AgentStore(self._database), QueueStore(self._database), groups, memory)
        self._services = Services(
            self._ari,
            Journal(self._store),
            RouteStore(self._database),
            groups,
            PromptStore(self._database),
            self._config,
            exchange=self._exchange,
            menus=MenuStore(self._database),
            sip_targets=targets,
            target_health=self._target_health,
            guard=Guard(config.app.pstn_guard, frozenset(config.app.voip_contexts)),
            recordings=self._recordings,
            schedules=ScheduleStore(self._database),
            admissions=AdmissionStore(self._database),
            post=self._post,
            permissions=PermissionStore(self._database),
        )
        self._facts = Facts(self._database)
        self._facts.wake(WANTED, "mailbox:", self._post.look_again)
        self._outgoing = CallingOut(self._services, self._switchroom(config))
        self._call_back = CallBack(self._outgoing, CallRequestStore(self._database))
        self._supervision = Supervision(
            OrderStore(self._database), OutgoingStore(self._database), self._facts, self._visit
        )
        self._adoption = Adoption(self._services, AdoptionStore(self._database), node)
        self._adopted: list[Adopted] = []
        self._calls: dict[UUID, Visit] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._served: OrderedDict[str, None] = OrderedDict()

    def _switchroom(self, config: Config) -> Switchroom:
        store, billing = OutgoingStore(self._database), BillingStore(self._database)
        consent = Consent(PermissionStore(self._database), self._facts, config.app.calling_out)
        return Switchroom(store, billing, Clearance(store, billing, config.app), consent, self._facts)

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve calls until cancelled, then end those that are left; `ready` is called when calls can come.

        Raises StoreError or AriError when PostgreSQL or Asterisk cannot be reached at the start, and AriError
        when Asterisk will not have us any longer.
        """
        with self._ari.events(StasisStart, Reconnected) as events:
            async with self._database, self._ari, self._post:
                await self._take_over(self._ari.left_behind)
                async with self._exchange:
                    ready()
                    try:
                        await self._serve_all(events)
                    except asyncio.CancelledError:
                        with cleaning_up():
                            await self._sweep()
                        raise

    async def _sweep(self) -> None:
        """Hang up what has come in since we stopped listening."""
        try:
            await self._hang_up(await self._ari.channels_inside())
        except AriError as error:
            logger.warning("what is left in the application cannot be hung up: %s", error)

    async def _serve_all(self, events: Subscription) -> None:
        failure: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._target_health.run(), name="target-health")
                group.create_task(self._recordings.run(), name="recordings")
                group.create_task(RecordUpkeep(self._database).run(), name="record-upkeep")
                group.create_task(self._node.run(), name="node")
                group.create_task(self._post.run(), name="messages")
                group.create_task(RecordingKeys(self._ari, self._recordings).run(), name="recording-keys")
                group.create_task(self._facts.run(), name="facts")
                group.create_task(self._outgoing.settle(), name="settlement")
                group.create_task(self._call_back.run(), name="call-requests")
                group.create_task(self._supervision.run(), name="orders")
                group.create_task(
                    DeviceKeeper(self._exchange.devices, DeviceStateStore(self._database)).run(), name="device-states"
                )
                for adopted in self._adopted:
                    self._serve_in(group, self._go_on(adopted), adopted.visit.caller.id)
                await self._listen(events, group)
        except* AriError as failures:
            failure = failures.exceptions[0]
        # Raised here, not above: Python 3.11.2 (Debian 12) would wrap it in a group of its own.
        if failure is not None:
            raise failure from None

    async def _listen(self, events: Subscription, group: asyncio.TaskGroup) -> None:
        """Take in what enters the application. Raises AriError when nothing will enter any more."""
        async for event in events:
            match event:
                case StasisStart():
                    await self._take_in(event, group)
                case Reconnected():
                    await self._recover(group)

    async def _take_in(self, start: StasisStart, group: asyncio.TaskGroup) -> None:
        channel = self._ari.channels.handle(start.channel.id, start.channel)
        if OWN_LEGS.intersection(start.args[:1]):
            if not self._is_ours(channel.id):
                await self._hang_up([channel])
        elif start.replace_channel is not None:  # an agent transfers a caller
            if not self._is_ours(start.replace_channel.id):
                await self._hang_up([channel])
        elif channel.id in self._served:
            logger.debug("channel %s is served already", channel.id)
        elif start.args[:1] == [AGENT_CODE]:
            self._remember(channel.id)
            group.create_task(self._codes.serve(start, channel), name=f"code-{channel.id}")
        elif len(self._tasks) >= self._config.max_calls:
            logger.error("%d calls at once, no more are taken: %s is refused", len(self._tasks), channel.id)
            await self._hang_up([channel], SWITCH_CONGESTION)
        else:
            serve = self._outgoing.dialled if start.args[:1] == [OUTBOUND] else self._serve
            self._serve_in(group, serve(start, channel), channel.id)

    def _serve_in(self, group: asyncio.TaskGroup, call: Coroutine[Any, Any, None], channel_id: str) -> None:
        self._remember(channel_id)
        task = group.create_task(call, name=f"call-{channel_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, start: StasisStart, channel: Channel) -> None:
        """One call. Nothing that goes wrong in it leaves this task."""
        caller = CallerLeg(self._ari, channel)
        try:
            call = await read_call(start, channel)
            self._calls[call.id] = visit = Visit(self._services, call, caller)
            try:
                await serve(visit)
            finally:
                del self._calls[call.id]
                self._exchange.forget(call.id)
        except Exception:
            logger.exception("channel %s could not be served", channel.id)
            await self._hang_up([channel])
        finally:
            caller.close()

    async def _recover(self, group: asyncio.TaskGroup) -> None:
        """After a reconnect: serve callers whose StasisStart got lost, hang up what belongs to no call."""
        try:
            inside = await self._ari.channels_inside()
        except AriError as error:
            logger.error("after the reconnect: %s", error)
            return
        for channel in inside:
            if self._is_ours(channel.id) or channel.data is None:
                continue
            args = channel.data.dialplan.app_data.split(",")[1:]
            if channel.id in self._served or OWN_LEGS.intersection(args[:1]):
                logger.warning("channel %s belongs to no call any more: hung up", channel.id)
                await self._hang_up([channel])
            else:
                logger.warning("channel %s came while Asterisk was out of reach", channel.id)
                await self._take_in(StasisStart(type="StasisStart", channel=channel.data, args=args), group)

    async def _take_over(self, channels: list[Channel]) -> None:
        """Adopt what goes on of what a predecessor left, and end the rest, in Asterisk and in the records. Raises
        AriError, StoreError.
        """
        prefix = bridge_prefix(self._ari.app)
        bridges = [
            bridge for bridge in await self._ari.bridges.list() if bridge.data and bridge.data.name.startswith(prefix)
        ]
        self._adopted = await self._adoption.find(channels, bridges)
        kept = {channel for adopted in self._adopted for channel in adopted.channels}
        over = [channel for channel in channels if channel.id not in kept]
        for channel in over:
            logger.warning("channel %s was left by a predecessor: hung up", channel.id)
        await self._hang_up(over)
        for bridge in bridges:
            if not any(adopted.visit.bridge is bridge for adopted in self._adopted):
                await bridge.destroy()
        await self._node.begin([adopted.visit.call.id for adopted in self._adopted])

    async def _go_on(self, adopted: Adopted) -> None:
        """One adopted call. Nothing that goes wrong in it leaves this task."""
        call = adopted.visit.call.id
        self._calls[call] = adopted.visit
        try:
            await adopted.go_on()
        except Exception:
            logger.exception("call %s could not be taken over", call)
        finally:
            del self._calls[call]
            self._exchange.forget(call)
            adopted.visit.caller.close()

    async def _hang_up(self, channels: list[Channel], cause: int = TEMPORARY_FAILURE) -> None:
        for channel in channels:
            try:
                await channel.hangup(reason_code=cause)
            except AriError as error:
                logger.warning("channel %s cannot be hung up: %s", channel.id, error)

    def _visit(self, call: UUID) -> Visit | None:
        return self._calls.get(call) or self._outgoing.visit(call)

    def _is_ours(self, channel_id: str) -> bool:
        return self._outgoing.owns(channel_id) or any(call.owns(channel_id) for call in self._calls.values())

    def _remember(self, channel_id: str) -> None:
        self._served[channel_id] = None
        while len(self._served) > REMEMBERED:
            self._served.popitem(last=False)
