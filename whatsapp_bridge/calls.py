"""One inbound WhatsApp call: the state machine that joins Meta, media and Asterisk.

received ── offer read, answer made, pre_accept posted, call placed in the dialplan
ringing  ── the dialplan has it; Meta's user hears ringing
connected ─ somebody answered: accept posted, voice flows
ended    ── by the user (Meta's terminate), the PBX (hangup), or the system (a failure)
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Awaitable
from dataclasses import dataclass

import asyncpg

from ari_app.ari import AriClient, AriError
from whatsapp_bridge.config import Config
from whatsapp_bridge.meta.graph import Action, GraphClient, GraphError
from whatsapp_bridge.meta.payloads import Connect, Terminate
from whatsapp_bridge.pbx.leg import CallerId, Hangup, PbxLeg, dialplan_safe
from whatsapp_bridge.pbx.media_socket import MediaSocketError
from whatsapp_bridge.rtc import sdp
from whatsapp_bridge.rtc.peer import Peer, PeerError
from whatsapp_bridge.rtc.relay import MediaClock, Relay
from whatsapp_bridge.store import Ending, Number, Store

logger = logging.getLogger(__name__)

#: Meta gives an unanswered call up after 30 to 60 s; a call that rings longer has lost its terminate webhook, s.
UNANSWERED_TIMEOUT = 90.0
#: For everything that is to be given back at the end of a call, s.
CLEAN_UP_TIMEOUT = 20.0
#: How long a broken path or a refused request waits for the hangup or terminate that explains it, s.
EXPLANATION_TIMEOUT = 1.0
#: Digits that wait to be delivered to the PBX; more is not a person typing.
MAX_DIGITS = 64

# Q.850 causes with which the PBX hears of an end that was not its own.
NORMAL_CLEARING, NETWORK_OUT_OF_ORDER, TEMPORARY_FAILURE = 16, 38, 41


@dataclass(frozen=True)
class Services:
    """What all calls of the process share."""

    config: Config
    store: Store
    graph: GraphClient
    ari: AriClient
    clock: MediaClock
    media_address: str


class CallError(Exception):
    """The call cannot go on; the message says why."""


class _Over(Exception):
    """Ends the task group of a call whose ending is known."""


#: Failures of the world outside. They end the call that met them; anything else is a bug, and ends it too.
FAILURES = (
    CallError,
    PeerError,
    sdp.SdpError,
    GraphError,
    AriError,
    MediaSocketError,
    TimeoutError,
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
)


class InboundCall:
    """A user calls one of our numbers. `run` is the call from beginning to end; `end` may come at any time."""

    def __init__(self, services: Services, connect: Connect) -> None:
        self.id = uuid.uuid4()
        """Ours, in `whatsapp.calls`; Meta's is `connect.call_id`."""
        self.connect = connect
        self._services = services
        self._ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._answer_sdp: str | None = None
        self._accept_asked = False
        self._digits: asyncio.Queue[str] = asyncio.Queue(MAX_DIGITS)
        self._name = f"call {self.id.hex[:8]}"

    def end(self, ending: Ending) -> None:
        """Let the call end; the first ending counts."""
        if not self._ended.done():
            self._ended.set_result(ending)

    def terminated(self, event: Terminate) -> None:
        """Meta says that the call is over."""
        if event.error is not None or event.status == "FAILED":
            text = f"Meta: {event.error.code} {event.error.text}" if event.error else "Meta: the call failed"
            self.end(Ending("system", text, NETWORK_OUT_OF_ORDER, meta_knows=True))
        elif event.duration is None and event.start is None:
            self.end(Ending("user", "the user hung up before an answer, or Meta's ring time ran out", meta_knows=True))
        else:
            self.end(Ending("user", "the user hung up", meta_knows=True))

    async def run(self) -> None:
        """Take the call through its life. Raises nothing: what goes wrong is the call's ending."""
        leg = PbxLeg(self._services.ari, self._services.config.ari.url)
        # At the end Asterisk is let go at once, while Meta and the records are told.
        async with asyncio.TaskGroup() as last_words, contextlib.AsyncExitStack() as resources:
            await resources.enter_async_context(leg)
            ending = await self._live(resources, leg)
            leg.hangup_cause = ending.cause
            last_words.create_task(self._say_end(ending))

    async def _live(self, resources: contextlib.AsyncExitStack, leg: PbxLeg) -> Ending:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._until_ended())
                group.create_task(self._progress(group, resources, leg))
        except* _Over:
            pass
        except* FAILURES as failures:
            await self._explain(leg)
            self.end(Ending("system", _first(failures), TEMPORARY_FAILURE))
        except* Exception as bugs:
            logger.exception("%s: unexpected error", self._name, exc_info=bugs)
            self.end(Ending("system", f"internal error: {_first(bugs)}", TEMPORARY_FAILURE))
        return await self._ended

    # The call, stage by stage

    async def _progress(self, group: asyncio.TaskGroup, resources: contextlib.AsyncExitStack, leg: PbxLeg) -> None:
        try:
            async with asyncio.timeout(UNANSWERED_TIMEOUT):
                relay = await self._until_answered(group, resources, leg)
        except TimeoutError as error:
            raise CallError(f"not answered in {UNANSWERED_TIMEOUT:g} s, and Meta did not end it") from error
        # connected: until somebody hangs up
        relay.open()
        logger.info("%s: connected", self._name)
        await self._note(self._services.store.connected(self.id))

    async def _until_answered(
        self, group: asyncio.TaskGroup, resources: contextlib.AsyncExitStack, leg: PbxLeg
    ) -> Relay:
        services, connect = self._services, self.connect
        number = await self._receive()

        # received: an answer for Meta, and ringing in the PBX, at the same time
        offer = sdp.parse(connect.sdp)
        peer = Peer(services.media_address, services.config.bridge.media_public_address)
        resources.push_async_callback(peer.close)
        self._answer_sdp = sdp.answer(await peer.gather(), offer)
        media_up = group.create_task(self._bring_media_up(peer, offer))
        group.create_task(self._watch_pbx(leg))
        await services.store.placing(self.id, leg.id)
        socket = await leg.place(
            number.display_number, services.config.bridge.context, self._caller(), self._variables()
        )
        relay = Relay(
            peer,
            socket,
            services.clock,
            opus=offer.opus,
            telephone_event=offer.telephone_event,
            on_digit=self._digit_pressed,
        )
        resources.callback(relay.close)
        group.create_task(self._watch_media(peer, socket.closed))
        group.create_task(self._deliver_digits(leg))

        # ringing: until somebody answers
        await self._note(services.store.ringing(self.id))
        await leg.answered.wait()
        # What the PBX says from now on is held by the relay until Meta has confirmed.
        group.create_task(leg.join())
        await media_up
        self._accept_asked = True
        await self._act("accept", self._answer_sdp)
        return relay

    async def _receive(self) -> Number:
        """Write the call down. A terminate that overtook the connect is in the store, or finds `end`."""
        store, connect = self._services.store, self.connect
        number = await store.number(connect.phone_number_id)
        if number is None:
            raise CallError(f"number {connect.phone_number_id} is not served here any more")
        logger.info("%s: %s calls %s (%s)", self._name, connect.user.id, number.display_number, connect.call_id)
        await store.add_call(self.id, connect)
        if (early := await store.early_terminate(connect)) is not None:
            await store.terminated(early)
            self.terminated(early)
        if self._ended.done():
            raise _Over
        return number

    async def _bring_media_up(self, peer: Peer, offer: sdp.RemoteDescription) -> None:
        """ICE and DTLS while it rings. Meta drops checks of a peer whose answer it does not have yet."""
        await self._act("pre_accept", self._answer_sdp)
        await self._note(self._services.store.pre_accepted(self.id))
        await peer.connect(offer)

    async def _until_ended(self) -> None:
        await asyncio.shield(self._ended)
        raise _Over

    async def _watch_pbx(self, leg: PbxLeg) -> None:
        self._pbx_hung_up(await asyncio.shield(leg.hung_up))

    async def _watch_media(self, peer: Peer, socket_closed: asyncio.Event) -> None:
        """The end of either media path ends the call, unless a hangup or terminate says so first."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._end_when(peer.closed, "the media path to Meta is gone"))
            group.create_task(self._end_when(socket_closed, "the media connection with Asterisk is gone"))

    async def _end_when(self, event: asyncio.Event, reason: str) -> None:
        await event.wait()
        # The hangup or terminate that explains it is on its way by another connection.
        await asyncio.wait((self._ended,), timeout=EXPLANATION_TIMEOUT)
        self.end(Ending("system", reason, NETWORK_OUT_OF_ORDER))

    def _digit_pressed(self, digit: str) -> None:
        try:
            self._digits.put_nowait(digit)
        except asyncio.QueueFull:
            logger.warning("%s: more than %d digits wait, one is lost", self._name, MAX_DIGITS)

    async def _deliver_digits(self, leg: PbxLeg) -> None:
        while True:
            await leg.send_digit(await self._digits.get())

    # The end

    async def _say_end(self, ending: Ending) -> None:
        logger.info("%s: ended by %s, %s", self._name, ending.by, ending.reason)
        try:
            async with asyncio.timeout(CLEAN_UP_TIMEOUT):
                await self._note(self._services.store.ended(self.id, ending))
                if not ending.meta_knows:
                    await self._act("terminate" if self._accept_asked else "reject")
        except (GraphError, TimeoutError) as error:
            # Meta ended it first: its terminate and ours have crossed.
            logger.info("%s: %s", self._name, error)

    async def _explain(self, leg: PbxLeg) -> None:
        """A request that failed because the other side had just gone: let that be the ending."""
        await asyncio.wait((self._ended, leg.hung_up), timeout=EXPLANATION_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
        if leg.hung_up.done():
            self._pbx_hung_up(leg.hung_up.result())

    def _pbx_hung_up(self, hangup: Hangup) -> None:
        self.end(Ending("pbx", f"the PBX hung up: {hangup.text} (cause {hangup.cause})", hangup.cause))

    # Helpers

    async def _act(self, action: Action, answer: str | None = None) -> None:
        await self._services.graph.call_action(
            self.connect.phone_number_id, self.connect.call_id, action, sdp_answer=answer
        )

    async def _note(self, write: Awaitable[None]) -> None:
        """Write a fact down. A database that is away must not end a call that is going well."""
        try:
            await write
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            logger.error("%s: a fact could not be stored: %s", self._name, error)

    def _caller(self) -> CallerId:
        user = self.connect.user
        return CallerId(user.number or "", dialplan_safe(user.name))

    def _variables(self) -> dict[str, str]:
        """What is known of the call, as channel variables for the dialplan."""
        caller = self._caller()
        return {
            "WHATSAPP_CALL_ID": self.connect.call_id,
            "WHATSAPP_NUMBER_ID": self.connect.phone_number_id,
            "WHATSAPP_FROM": caller.number,
            "WHATSAPP_NAME": caller.name,
            "WHATSAPP_PAYLOAD": dialplan_safe(self.connect.payload),
        }


def _first(group: BaseExceptionGroup[BaseException]) -> str:
    """The first cause of a group, in words."""
    error = group.exceptions[0]
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__
