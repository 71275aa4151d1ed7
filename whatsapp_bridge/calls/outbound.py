"""A call from the PBX to a WhatsApp user: the state machine that joins Asterisk, media and Meta.

requested ─ Asterisk has opened the media websocket; the channel is Asterisk's own, the number is ours
dialing ─── Meta was asked, with our offer; its reply or a webhook tells the call's id, whichever comes first
ringing ─── the user's phone rings; ICE and DTLS come up as soon as Meta's answer is here
connected ─ ACCEPTED: the channel is answered, voice flows
ended ───── by the user (declined, did not answer, hung up), the PBX (hung up), or the system (a refusal, a failure)

Meta's webhooks may come in any order, twice, or not at all. Nothing is passed on before ACCEPTED, in either direction.
"""

import asyncio
import contextlib
import logging
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from whatsapp_bridge.calls.call import CLEAN_UP_TIMEOUT, Call, CallError, Leg, Over, Services, words
from whatsapp_bridge.calls.causes import (
    CALL_REJECTED,
    INVALID_NUMBER,
    NETWORK_OUT_OF_ORDER,
    NO_ANSWER,
    TEMPORARY_FAILURE,
    USER_BUSY,
    cause_of,
)
from whatsapp_bridge.meta.graph import GraphError, GraphRefused, GraphUnavailable
from whatsapp_bridge.meta.payloads import Connect, Status, Terminate
from whatsapp_bridge.pbx.dialled_leg import DialledLeg
from whatsapp_bridge.rtc import sdp
from whatsapp_bridge.rtc.peer import Peer, PeerError
from whatsapp_bridge.rtc.relay import Relay
from whatsapp_bridge.store import Ending, Number

logger = logging.getLogger(__name__)

#: A call whose reply is lost is in its webhooks, the first of which come before the phone rings, s.
LOST_REPLY_TIMEOUT = 3.0
#: From ACCEPTED until voice can flow: Meta's answer may be late, and ICE and DTLS then take their time, s.
MEDIA_TIMEOUT = 5.0
#: How long the PBX's side waits for the record of the end, which it may look for, s.
RECORD_TIMEOUT = 1.0

_NUMBER = re.compile(r"^\+?([0-9]{3,15})$")
_USER_ID = re.compile(r"^[A-Za-z]{2}\.[A-Za-z0-9]{1,120}$")


class Refused(CallError):
    """The call is refused here, before Meta is asked."""

    def __init__(self, text: str, cause: int) -> None:
        super().__init__(text)
        self.cause = cause


@dataclass(frozen=True)
class Wanted:
    """What the dial string asks for, in `v(to=…,number=…,call=…)`."""

    to: str
    "As dialled; `user_key` is what is made of it."
    number: str | None
    "Meta's id or the digits of the number that calls; None: the first."
    call: uuid.UUID

    @classmethod
    def read(cls, query: Mapping[str, str]) -> "Wanted":
        """From the websocket's query. A `call` that is no UUID is replaced by a new one."""
        try:
            call = uuid.UUID(query.get("call", ""))
        except ValueError:
            call = uuid.uuid4()
        # A plus that is not escaped reaches us as a space.
        return cls(query.get("to", "").strip(), query.get("number") or None, call)

    @property
    def user_key(self) -> str:
        """Digits, or a business-scoped id. Raises Refused."""
        if number := _NUMBER.match(self.to):
            return number[1]
        if _USER_ID.match(self.to):
            return self.to
        raise Refused(f"{self.to[:40]!r} is neither a phone number nor a WhatsApp user id", INVALID_NUMBER)


class Registry(Protocol):
    """Who finds calls by Meta's id."""

    def identified(self, call: "OutboundCall", call_id: str) -> None: ...


class OutboundCall(Call):
    """The PBX calls a WhatsApp user."""

    def __init__(self, services: Services, registry: Registry, leg: DialledLeg, wanted: Wanted) -> None:
        super().__init__(services, wanted.call, "")
        self.wanted = wanted
        self._registry, self._leg = registry, leg
        loop = asyncio.get_running_loop()
        self._identified: asyncio.Future[str] = loop.create_future()
        self._answer: asyncio.Future[str] = loop.create_future()
        self._ringing, self._accepted = asyncio.Event(), asyncio.Event()
        self._recorded = self._asked = False
        self._last_words: asyncio.TaskGroup | None = None

    # What Meta says

    @property
    def waits_for_id(self) -> bool:
        """Meta was asked, and has not said under which id it keeps the call."""
        return self._asked and not self._identified.done()

    def identify(self, call_id: str) -> None:
        """This is Meta's id of the call; the first one counts."""
        if self._identified.done():
            return
        self._identified.set_result(call_id)
        self._registry.identified(self, call_id)
        assert self._last_words is not None
        self._last_words.create_task(self._note(self._services.store.identified(self.id, call_id)))

    def answered(self, event: Connect) -> None:
        """Meta's answer to our offer."""
        if not self._answer.done():
            self._answer.set_result(event.sdp)
            if event.user.name and self._last_words is not None:
                self._last_words.create_task(self._note(self._services.store.user_named(self.id, event.user.name)))

    def progressed(self, event: Status) -> None:
        """RINGING, ACCEPTED or REJECTED."""
        match event.status:
            case "RINGING":
                self._ringing.set()
            case "ACCEPTED":
                self._accepted.set()
            case "REJECTED":
                self.end(Ending("user", "the user declined the call", USER_BUSY, meta_knows=True))
            case other:
                logger.info("%s: status %.40s ignored", self._name, other)

    def terminated(self, event: Terminate) -> None:
        if event.error is not None or event.status == "FAILED":
            code, text = (event.error.code, event.error.text) if event.error else (None, None)
            reason = f"Meta: {code} {text}" if event.error else "Meta: the call failed"
            cause = cause_of(code or 0) if event.error else NETWORK_OUT_OF_ORDER
            self.end(Ending("system", reason, cause, meta_knows=True, meta_code=code, meta_text=text))
        elif event.duration is None and event.start is None and not self._accepted.is_set():
            self.end(Ending("user", "the user did not answer", NO_ANSWER, meta_knows=True))
        else:
            self.end(Ending("user", "the user hung up", meta_knows=True))

    # The call, stage by stage

    async def run(self) -> None:
        async with asyncio.TaskGroup() as last_words, contextlib.AsyncExitStack() as resources:
            self._last_words = last_words
            resources.push_async_callback(self._leg.close)
            ending = await self._live(self._leg, lambda group: self._progress(group, resources))
            logger.info("%s: ended by %s, %s", self._name, ending.by, ending.reason)
            last_words.create_task(self._tell_meta(ending))
            # Who sees the channel end may look for the reason: it is written first.
            if self._recorded:
                record = last_words.create_task(self._note(self._services.store.ended(self.id, ending)))
                await asyncio.wait((record,), timeout=RECORD_TIMEOUT)
            self._leg.hangup_cause = ending.cause

    async def _progress(self, group: asyncio.TaskGroup, resources: contextlib.AsyncExitStack) -> None:
        services, leg = self._services, self._leg
        group.create_task(leg.watch())
        group.create_task(self._watch_pbx(leg))
        await self._receive(await leg.verify())

        # dialing: from here on Meta may have the call, whatever becomes of our request
        peer = Peer(services.media_address, services.config.bridge.media_public_address)
        resources.push_async_callback(peer.close)
        offer = sdp.offer(await peer.gather())
        await services.store.dialing(self.id)
        self._asked = True
        assert self._last_words is not None
        self._last_words.create_task(self._ask(offer))
        group.create_task(self._note_ringing())
        media = group.create_task(self._bring_media_up(group, resources, peer))

        # ringing: until the user answers
        await asyncio.shield(self._identified)
        ring_time = services.config.bridge.ring_seconds
        try:
            async with asyncio.timeout(ring_time):
                await self._accepted.wait()
        except TimeoutError:
            self.end(Ending("user", f"the user did not answer in {ring_time:g} s", NO_ANSWER))
            raise Over from None
        try:
            async with asyncio.timeout(MEDIA_TIMEOUT):
                relay = await media
        except TimeoutError as error:
            what = "its media path" if self._answer.done() else "its answer (the connect webhook)"
            raise CallError(f"the user accepted, but {what} did not come from Meta in {MEDIA_TIMEOUT:g} s") from error

        # connected: until somebody hangs up
        relay.open()
        leg.answer()
        logger.info("%s: connected", self._name)
        await self._note(services.store.connected(self.id))

    async def _receive(self, linkedid: str | None) -> None:
        """Check what was dialled and write the call down."""
        store, user_key = self._services.store, self.wanted.user_key
        number: Number | None = await store.number_to_call_from(self.wanted.number)
        if number is None:
            raise Refused(f"no number {(self.wanted.number or '')[:40]!r} is served here to call from", CALL_REJECTED)
        self.phone_number_id = number.phone_number_id
        user_number = user_key if user_key.isdigit() else None
        if not await store.add_outbound_call(self.id, number, user_key, user_number, linkedid):
            raise Refused(f"there is a call {self.id} already", CALL_REJECTED)
        self._recorded = True
        logger.info("%s: %s calls %s", self._name, number.display_number, user_key)

    async def _ask(self, offer: str) -> None:
        """Ask Meta for the call. A reply that is lost does not mean that the phone does not ring."""
        try:
            self.identify(
                await self._services.graph.connect(self.phone_number_id, self.wanted.user_key, offer, str(self.id))
            )
        except GraphRefused as error:
            self._not_taken(error)
        except GraphUnavailable as error:
            if error.taken and not self._identified.done():
                logger.warning("%s: %s; a webhook may know the call", self._name, error)
                await asyncio.wait((self._identified,), timeout=LOST_REPLY_TIMEOUT)
            self._not_taken(error)

    def _not_taken(self, error: GraphError) -> None:
        if not self._identified.done():
            self._identified.set_exception(error)
            # Read by whoever waits; a call that is over already does not.
            self._identified.exception()

    async def _bring_media_up(
        self, group: asyncio.TaskGroup, resources: contextlib.AsyncExitStack, peer: Peer
    ) -> Relay:
        """ICE and DTLS while it rings."""
        remote = sdp.parse(await asyncio.shield(self._answer))
        relay = Relay(
            peer,
            self._leg.socket,
            self._services.clock,
            opus=remote.opus,
            telephone_event=remote.telephone_event,
            on_digit=self._digit_pressed,
            outbound=True,
        )
        resources.callback(relay.close)
        await peer.connect(remote)
        group.create_task(self._watch_peer(peer))
        group.create_task(self._deliver_digits(self._leg))
        return relay

    async def _note_ringing(self) -> None:
        await self._ringing.wait()
        await self._note(self._services.store.ringing(self.id))

    # The end

    def _failure(self, error: BaseException) -> Ending:
        match error:
            case Refused():
                return Ending("system", str(error), error.cause)
            case GraphRefused():
                cause = cause_of(error.code, error.status)
                return Ending("system", str(error), cause, True, error.code or None, error.meta_text)
            case GraphUnavailable():
                return Ending("system", str(error), NETWORK_OUT_OF_ORDER, meta_code=error.code or None)
            case PeerError():
                return Ending("system", str(error), NETWORK_OUT_OF_ORDER)
            case _:
                return Ending("system", words(error), TEMPORARY_FAILURE)

    async def _explain(self, leg: Leg, error: BaseException) -> None:
        if isinstance(error, PeerError):
            await super()._explain(leg, error)
        elif self._leg.socket.closed.is_set():
            self._pbx_hung_up(self._leg.notice_hangup())

    async def _tell_meta(self, ending: Ending) -> None:
        """The user's phone must not ring on; one that rings under an id that is not known yet neither."""
        if ending.meta_knows or not self._asked:
            return
        await asyncio.wait((self._identified,), timeout=CLEAN_UP_TIMEOUT)
        if not self._identified.done() or self._identified.exception() is not None:
            return
        try:
            await self._act(self._identified.result(), "terminate")
        except GraphError as error:
            # Meta ended it first: its terminate and ours have crossed.
            logger.info("%s: %s", self._name, error)
