"""Which call an event of Meta's or a websocket of Asterisk's belongs to."""

import asyncio
import contextlib
import logging
import time
import uuid
from collections import OrderedDict
from collections.abc import Coroutine
from typing import Any

from aiohttp import web

from whatsapp_bridge.calls.call import Call, Services
from whatsapp_bridge.calls.inbound import InboundCall
from whatsapp_bridge.calls.outbound import OutboundCall, Wanted
from whatsapp_bridge.meta.graph import GraphError
from whatsapp_bridge.meta.payloads import Connect, Status, Terminate
from whatsapp_bridge.pbx.dialled_leg import DialledLeg, DialledLegError, Started
from whatsapp_bridge.pbx.media_server import AcceptedMediaSocket
from whatsapp_bridge.pbx.media_socket import MediaSocketError
from whatsapp_bridge.store import Ending

logger = logging.getLogger(__name__)

#: Meta gives an unanswered call up after 30 to 60 s: an older connect rings nobody any more.
STALE_AFTER = 60.0
#: How long running calls have to end when the bridge stops, s.
STOP_TIMEOUT = 15.0
#: Websockets that have not yet said for which channel they are. Asterisk says so at once.
MAX_UNSTARTED = 64
#: Ids of calls that are over, so that their late webhooks are not taken for those of a call that begins.
MAX_ENDED = 1000

CallEvent = Connect | Status | Terminate


class Switchboard:
    """The running calls. Tasks of calls are the group's; `end_all` ends them and takes no more."""

    def __init__(self, services: Services, group: asyncio.TaskGroup) -> None:
        self.calls: dict[str, Call] = {}
        """By Meta's call id, as soon as it is known."""
        self._services, self._group = services, group
        self._dialled: dict[str, OutboundCall] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._unstarted = 0
        self.stopping = False
        """No more calls are taken."""

    @property
    def count(self) -> int:
        """How many calls are running."""
        return len({call.id for call in (*self.calls.values(), *self._dialled.values())})

    # Events of Meta's

    def handle(self, event: CallEvent) -> None:
        """Take an event that is stored and new."""
        match event:
            case Connect(direction="inbound"):
                self._spawn("call", event.call_id, self._take(event))
            case Connect():
                if (call := self._outbound(event)) is not None:
                    call.answered(event)
            case Status():
                if (call := self._outbound(event)) is not None:
                    call.progressed(event)
            case Terminate():
                known = self.calls.get(event.call_id) or self._outbound(event)
                if known is not None:
                    known.terminated(event)
                self._spawn("terminate", event.call_id, self._keep(event))

    def identified(self, call: OutboundCall, call_id: str) -> None:
        """Meta keeps an outbound call under this id."""
        self.calls[call_id] = call

    def _outbound(self, event: CallEvent) -> OutboundCall | None:
        """The outbound call of an event. What comes before the reply that names the id is known by what we gave the
        call, or else by number and user."""
        call = self.calls.get(event.call_id)
        if call is None and event.call_id not in self._ended:
            call = self._dialled.get(event.opaque) or self._waiting_for(event)
            if call is not None:
                call.identify(event.call_id)
            elif not isinstance(event, Terminate):
                self._spawn("stray", event.call_id, self._end_stray(event))
        return call if isinstance(call, OutboundCall) else None

    def _waiting_for(self, event: CallEvent) -> OutboundCall | None:
        match event:
            case Connect():
                number = event.user.number
            case Status():
                number = event.user_number
            case Terminate():
                number = None
        if event.opaque or number is None:
            return None
        found = [
            call
            for call in self._dialled.values()
            if call.waits_for_id and (call.phone_number_id, call.wanted.user_key) == (event.phone_number_id, number)
        ]
        return found[0] if len(found) == 1 else None

    async def _end_stray(self, event: CallEvent) -> None:
        """A call of ours that Meta took after all, and that we have given up: the phone must not ring on."""
        store, call_id = self._services.store, _uuid(event.opaque)
        if call_id is None or not await store.is_over(call_id):
            logger.info("event of outbound call %s ignored: not placed by this bridge", event.call_id[-24:])
            return
        logger.warning("call %s was given up here, but Meta has it: ending it", call_id.hex[:8])
        await store.identified(call_id, event.call_id)
        try:
            await self._services.graph.call_action(event.phone_number_id, event.call_id, "terminate")
        except GraphError as error:
            logger.info("%s", error)

    async def _keep(self, event: Terminate) -> None:
        if (call_id := _uuid(event.opaque)) is not None:
            await self._services.store.identified(call_id, event.call_id)
        await self._services.store.terminated(event)

    # Calls

    async def _take(self, connect: Connect) -> None:
        store = self._services.store
        if connect.call_id in self.calls:
            return
        call = InboundCall(self._services, connect)
        age = time.time() - connect.timestamp.timestamp() if connect.timestamp else 0.0
        if age > STALE_AFTER:
            logger.warning("call %s dropped: its webhook came %.0f s late", connect.call_id[-24:], age)
            await store.add_call(call.id, connect)
            await store.ended(call.id, Ending("system", f"the webhook came {age:.0f} s late; nobody waited any more"))
            return
        self.calls[connect.call_id] = call
        if self.stopping:
            call.end(Ending("system", "the bridge is stopping"))
        try:
            await call.run()
        finally:
            del self.calls[connect.call_id]

    async def take_media(self, request: web.Request) -> web.StreamResponse:
        """Asterisk opens the media websocket of a call that somebody dials."""
        if self.stopping or self._unstarted >= MAX_UNSTARTED:
            raise web.HTTPServiceUnavailable(text="no calls are taken now\n")
        socket, response = await AcceptedMediaSocket.accept(request)
        self._unstarted += 1
        try:
            started = Started.read(await socket.start())
        except (MediaSocketError, DialledLegError) as error:
            logger.warning("media websocket from %s closed: %s", request.remote, error)
            await socket.close()
            return response
        finally:
            self._unstarted -= 1
        leg = DialledLeg(self._services.ari, socket, started)
        task = self._spawn("call", started.channel_id, self._dial(leg, Wanted.read(request.query)))
        await asyncio.wait((task,))
        return response

    async def _dial(self, leg: DialledLeg, wanted: Wanted) -> None:
        call = OutboundCall(self._services, self, leg, wanted)
        # A second call with the id of a running one is not in the way of the first: it finds the id taken.
        key = str(call.id)
        self._dialled.setdefault(key, call)
        if self.stopping:
            call.end(Ending("system", "the bridge is stopping"))
        try:
            await call.run()
        finally:
            if self._dialled.get(key) is call:
                del self._dialled[key]
            for call_id in [meta_id for meta_id, other in self.calls.items() if other is call]:
                del self.calls[call_id]
                self._remember(call_id)

    def _remember(self, call_id: str) -> None:
        self._ended[call_id] = None
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)

    async def end_all(self) -> None:
        """End all calls and wait for them, at most STOP_TIMEOUT."""
        self.stopping = True
        for call in {*self.calls.values(), *self._dialled.values()}:
            call.end(Ending("system", "the bridge was stopped", 41))
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=STOP_TIMEOUT)
            for task in late:
                logger.error("%s did not end in %g s", task.get_name(), STOP_TIMEOUT)
                task.cancel()

    def _spawn(self, kind: str, what: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._group.create_task(self._guarded(kind, what, work), name=f"{kind}-{what[-24:]}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _guarded(self, kind: str, what: str, work: Coroutine[Any, Any, None]) -> None:
        """One call's failure must not reach the task group, which would end all the others."""
        try:
            await work
        except Exception:
            logger.exception("%s %s failed", kind, what[-24:])


def _uuid(text: str) -> uuid.UUID | None:
    with contextlib.suppress(ValueError):
        return uuid.UUID(text)
    return None
