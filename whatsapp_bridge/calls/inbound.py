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

from whatsapp_bridge.calls.call import CLEAN_UP_TIMEOUT, Call, CallError, Over, Services
from whatsapp_bridge.calls.causes import NETWORK_OUT_OF_ORDER
from whatsapp_bridge.meta.graph import GraphError
from whatsapp_bridge.meta.payloads import Connect, Terminate
from whatsapp_bridge.pbx.leg import CallerId, PbxLeg, dialplan_safe
from whatsapp_bridge.rtc import sdp
from whatsapp_bridge.rtc.peer import Peer
from whatsapp_bridge.rtc.relay import Relay
from whatsapp_bridge.store import Ending, Number

logger = logging.getLogger(__name__)

#: Meta gives an unanswered call up after 30 to 60 s; a call that rings longer has lost its terminate webhook, s.
UNANSWERED_TIMEOUT = 90.0


class InboundCall(Call):
    """A user calls one of our numbers."""

    def __init__(self, services: Services, connect: Connect) -> None:
        super().__init__(services, uuid.uuid4(), connect.phone_number_id)
        self.connect = connect
        self._answer_sdp: str | None = None
        self._accept_asked = False

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
        leg = PbxLeg(self._services.ari, self._services.config.ari.url)
        # At the end Asterisk is let go at once, while Meta and the records are told.
        async with asyncio.TaskGroup() as last_words, contextlib.AsyncExitStack() as resources:
            await resources.enter_async_context(leg)
            ending = await self._live(leg, lambda group: self._progress(group, resources, leg))
            leg.hangup_cause = ending.cause
            last_words.create_task(self._say_end(ending))

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
        await self._act(connect.call_id, "accept", self._answer_sdp)
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
            raise Over
        return number

    async def _bring_media_up(self, peer: Peer, offer: sdp.RemoteDescription) -> None:
        """ICE and DTLS while it rings. Meta drops checks of a peer whose answer it does not have yet."""
        await self._act(self.connect.call_id, "pre_accept", self._answer_sdp)
        await self._note(self._services.store.pre_accepted(self.id))
        await peer.connect(offer)

    async def _watch_media(self, peer: Peer, socket_closed: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_peer(peer))
            group.create_task(self._end_when(socket_closed, "the media connection with Asterisk is gone"))

    # The end

    async def _say_end(self, ending: Ending) -> None:
        logger.info("%s: ended by %s, %s", self._name, ending.by, ending.reason)
        try:
            async with asyncio.timeout(CLEAN_UP_TIMEOUT):
                await self._note(self._services.store.ended(self.id, ending))
                if not ending.meta_knows:
                    await self._act(self.connect.call_id, "terminate" if self._accept_asked else "reject")
        except (GraphError, TimeoutError) as error:
            # Meta ended it first: its terminate and ours have crossed.
            logger.info("%s: %s", self._name, error)

    # Helpers

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
