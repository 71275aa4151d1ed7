"""An agent calls a WhatsApp user: may the call go out, ring, talk.

Until the user answers, the visit's caller is the agent's channel; from then on it is the user's, with the agent at the
other side, as in a call that came in: so talking, transfers and recordings are the same for both.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from uuid import UUID

from ari_app.ari import AriHttpError, channel_id
from ari_app.ari.events import ChannelDestroyed, ChannelStateChange, Event, StasisEnd, StasisStart
from ari_app.calls import ending
from ari_app.calls.caller import clean_name
from ari_app.calls.ending import EndedBy, Ending, Status
from ari_app.calls.offer import NO_ANSWER, SUBSCRIBER_ABSENT, TEMPORARY_FAILURE, Agent
from ari_app.calls.refusal import Refusal, Rule
from ari_app.flows.clearance import Clearance, Errand, Terms
from ari_app.flows.consent import Consent
from ari_app.flows.facts import Facts, Told
from ari_app.flows.legs import CallerLeft, CallerLeg, left
from ari_app.flows.meter import Meter
from ari_app.flows.recording_consent import record_after_consent
from ari_app.flows.ringing import CHANNEL_SECONDS, DIAL_RESERVE
from ari_app.flows.talk import join, talk
from ari_app.flows.visit import Visit, bridge_prefix
from ari_app.store.billing import BillingStore
from ari_app.store.database import StoreError
from ari_app.store.outgoing import BridgeWord, BusinessNumber, OutgoingStore

logger = logging.getLogger(__name__)

#: A phone's sound needs so long to open after the answer, and to play what is on its way before the end, s.
PATH_SECONDS = 0.3

#: While the user's phone rings, we look so often how things stand, s: a word of PostgreSQL that got lost costs no more.
LOOK_SECONDS = 2.0

#: Meta's error codes for a user who has not allowed calls, and for one who has had as many as Meta allows in a day.
NO_PERMISSION, CALL_LIMIT = 138006, 138012

#: By this client of websocket_client.conf Asterisk reaches the bridge.
BRIDGE_CLIENT = "whatsapp"


Begun = Callable[[UUID], Awaitable[None]]


@dataclass(frozen=True)
class Switchroom:
    """What outbound calls work with; one for all."""

    store: OutgoingStore
    billing: BillingStore
    clearance: Clearance
    consent: Consent
    facts: Facts


class OutgoingCall:
    """One call of an agent's. `run` it by `inbound.serve`, which gives everything back."""

    def __init__(self, visit: Visit, room: Switchroom, errand: Errand, begun: Begun | None = None) -> None:
        """`begun` is awaited once the call is recorded."""
        self._begun = begun
        self._visit = visit
        self._room = room
        self._errand = errand
        self._desk = visit.caller
        self._user = CallerLeg(visit.ari, visit.ari.channels.handle(channel_id()))
        self._up = visit.caller.channel.data is not None and visit.caller.channel.data.state == "Up"
        self._word: BridgeWord | None = None
        self._rings = False

    def close(self) -> None:
        """At the very end."""
        self._user.close()

    async def run(self, visit: Visit) -> Ending:
        """How the call ended; legs may still be there. Raises CallerLeft."""
        await visit.save()
        logger.info(
            "call %s: %s calls %s",
            visit.call.id,
            self._errand.agent.name if self._errand.agent else "somebody",
            self._errand.called.shown,
        )
        try:
            if self._begun is not None:
                await self._begun(visit.call.id)
            allowed = await self._allow()
        except StoreError as error:
            logger.error("call %s cannot be checked: %s", visit.call.id, error)
            await self._say(visit.services.config.fault_prompt)
            return ending.refused("PostgreSQL cannot be reached, so the call could not be checked")
        if isinstance(allowed, Refusal):
            return await self._refuse(allowed)
        agent, business, terms = allowed
        await self._occupy(agent, business)
        try:
            with self._room.facts.watching(self._user.events, f"call:{visit.call.id}"):
                failed = await self._reach(business)
            if failed is None:
                return await self._talk(agent, terms)
            return failed
        finally:
            # Wrap-up follows only a talk; an agent who never got through is free at once.
            if visit.call.connected_at is not None:
                visit.services.exchange.talked(visit.call.id, agent.id)

    # May it go out?

    async def _allow(self) -> Refusal | tuple[Agent, BusinessNumber, Terms]:
        """All checks, in the order in which a person would want to know. Raises CallerLeft, StoreError."""
        visit, room, errand = self._visit, self._room, self._errand
        visit.moment = "while the call was checked"
        if errand.agent is None:
            return Refusal(Rule.NO_AGENT, "the phone that calls is no agent's")
        if refusal := room.clearance.refuse(errand):
            return refusal
        assert errand.business is not None
        visit.route = await visit.services.routes.find(errand.business.number)
        looked = await room.clearance.pay(errand, None)
        if isinstance(looked, Refusal):
            return looked
        permission = await room.consent.ask(self._desk, errand.business, errand.called.user_key)
        if refusal := room.consent.verdict(permission, errand):
            if refusal.rule is Rule.NO_PERMISSION:
                return await room.consent.invite(errand, errand.business, permission)
            return refusal
        terms = await room.clearance.pay(errand, visit.call.id)
        return terms if isinstance(terms, Refusal) else (errand.agent, errand.business, terms)

    async def _refuse(self, refusal: Refusal) -> Ending:
        """Tell the agent why, in words for the ear; the record has them in writing."""
        logger.info("call %s does not go out: %s (%s)", self._visit.call.id, refusal.reason, refusal.rule)
        self._visit.call = replace(self._visit.call, refusal=refusal.rule.value)
        await self._say(*self._visit.services.config.calling_out.spoken(refusal.rule))
        return ending.refused(refusal.reason)

    async def _say(self, *words: str) -> None:
        """That the agent hangs up meanwhile changes nothing."""
        try:
            await self._answer_desk()
            await asyncio.sleep(PATH_SECONDS)
            for media in words:
                await self._desk.play(await self._visit.services.prompts.uri(media))
            await asyncio.sleep(PATH_SECONDS)
        except CallerLeft:
            logger.debug("call %s: the agent hung up during the words", self._visit.call.id)

    async def _answer_desk(self) -> None:
        if not self._up:
            async with self._desk.asking():
                await self._desk.channel.answer()
            self._up = True

    async def _occupy(self, agent: Agent, business: BusinessNumber) -> None:
        call = self._visit.call
        try:
            if not await self._visit.services.exchange.occupy(call.id, agent.id, business.group):
                logger.info("call %s: %s has another call too", call.id, agent.name)
        except StoreError as error:
            logger.error("call %s: %s could not be reserved: %s", call.id, agent.name, error)

    # Ring

    async def _reach(self, business: BusinessNumber) -> Ending | None:
        """Let the user's phone ring until it is answered (None), or not. Raises CallerLeft when the agent hangs up."""
        visit, user, desk = self._visit, self._user, self._desk
        visit.moment = "while the user was called"
        visit.legs[user.id] = user.channel
        visit.call = visit.call.dialing()
        await visit.save()
        user.events.watch(f"channel:{desk.id}")
        async with desk.asking():
            await desk.channel.refresh()  # from here on its end is in our events
        visit.bridge = await visit.ari.bridges.create(name=f"{bridge_prefix(visit.ari.app)}{visit.call.id}")
        data = f"to={self._errand.called.user_key},number={business.phone_number_id},call={visit.call.id}"
        try:
            await visit.ari.channels.create(
                endpoint=f"WebSocket/{BRIDGE_CLIENT}/c(opus)nf(json)v({data})",
                app_args=["agent", str(visit.call.id)],
                channel_id=user.id,
                originator=desk.id,
                events=user.events,
            )
            started = await self._next(StasisStart, timeout=CHANNEL_SECONDS)
            if isinstance(started, StasisStart):
                await user.channel.dial(timeout=visit.services.config.calling_out.ring_seconds + DIAL_RESERVE)
        except (AriHttpError, TimeoutError) as error:
            logger.error("call %s: no channel to the bridge: %s", visit.call.id, error)
            return ending.not_taken(SUBSCRIBER_ABSENT, "Asterisk cannot reach the bridge to WhatsApp")
        return await self._until_answered()

    async def _until_answered(self) -> Ending | None:
        loop = asyncio.get_running_loop()
        seconds = self._visit.services.config.calling_out.ring_seconds
        deadline = loop.time() + seconds
        while (time_left := deadline - loop.time()) > 0:
            try:
                event = await self._next(ChannelStateChange, Told, timeout=min(LOOK_SECONDS, time_left))
            except TimeoutError:
                event = None
            match event:
                case ChannelStateChange() if event.channel.state == "Up":
                    return None
                case ChannelDestroyed() | StasisEnd():
                    return await self._not_taken(event.cause if isinstance(event, ChannelDestroyed) else None)
                case ChannelStateChange():
                    continue
                case _:
                    await self._look()
        return ending.not_taken(NO_ANSWER, f"the user did not answer in {seconds} s")

    async def _next(self, *types: type[Event], timeout: float) -> Event:
        """The next event of the user's leg, or its last one. Raises CallerLeft when the agent goes, TimeoutError."""
        desk, user = self._desk, self._user

        def matters(event: Event) -> bool:
            if left(event, desk.id) or isinstance(event, Told):
                return True
            wanted = isinstance(event, (*types, ChannelDestroyed, StasisEnd))
            return wanted and getattr(event, "channel", user.channel).id == user.id

        event = await user.events.wait_for(Event, timeout=timeout, where=matters)
        if left(event, desk.id):
            raise CallerLeft
        return event

    async def _look(self) -> None:
        """Read how the bridge stands: the agent hears ringing as soon as the user's phone rings. Raises CallerLeft."""
        visit = self._visit
        known = visit.call.whatsapp_call_id
        if (word := await self._read()) is None:
            return
        if word.meta_call_id is not None and known is None:
            async with self._desk.asking():
                await self._desk.channel.set_variable("CDR(whatsapp_call_id)", word.meta_call_id)
        if word.state == "ringing" and not self._rings:
            self._rings = True
            visit.moment = "while the user's phone was ringing"
            async with self._desk.asking():
                await self._desk.channel.ring()
            visit.call = visit.call.ringing()
            await visit.save()

    async def _read(self) -> BridgeWord | None:
        """How the bridge stood when it could last be read; the call takes over what it did not know."""
        visit = self._visit
        try:
            self._word = await self._room.store.word(visit.call.id) or self._word
        except StoreError as error:
            logger.warning("call %s: nobody knows how the bridge stands: %s", visit.call.id, error)
        if (word := self._word) is not None:
            caller = visit.call.caller
            if word.user_name and not caller.name:
                caller = replace(caller, name=clean_name(word.user_name))
            meta_id = word.meta_call_id or visit.call.whatsapp_call_id
            visit.call = replace(visit.call, whatsapp_call_id=meta_id, caller=caller)
        return self._word

    async def _not_taken(self, cause: int | None) -> Ending:
        """The user's leg is gone; the bridge has written why before it hung up."""
        word = await self._read()
        if word is None or word.state != "ended":
            return ending.not_taken(
                cause or TEMPORARY_FAILURE, "the bridge to WhatsApp is out of reach" if word is None else None
            )
        if word.meta_error_code == NO_PERMISSION and self._errand.business is not None:
            permission = await self._room.consent.store.find(
                self._errand.business.phone_number_id, self._errand.called.user_key
            )
            return await self._refuse(await self._room.consent.invite(self._errand, self._errand.business, permission))
        if word.meta_error_code == CALL_LIMIT:
            return await self._refuse(Refusal(Rule.CALL_LIMIT, word.reason or "Meta allows no further call today"))
        self._visit.hangup_cause = word.hangup_cause or cause or TEMPORARY_FAILURE
        result = ending.not_taken(self._visit.hangup_cause, word.reason)
        if result.status is Status.FAILED:
            await self._say(*self._visit.services.config.calling_out.failed_prompts)
        return result

    # Talk

    async def _talk(self, agent: Agent, terms: Terms) -> Ending:
        """The user has answered."""
        visit, desk, user = self._visit, self._desk, self._user
        tone = self._up and self._rings
        await self._answer_desk()
        if tone:
            async with desk.asking():
                await desk.channel.stop_ringing()
        visit.legs = {desk.id: desk.channel}
        visit.desk = desk.id
        visit.caller = user
        try:
            if not await join(visit, desk.channel, agent.id):
                return Ending(Status.CANCELLED, EndedBy.AGENT, "the agent hung up when the user answered")
        except CallerLeft:
            return Ending(Status.FAILED, EndedBy.USER, "the user hung up before the call was joined")
        await self._read()
        visit.companions.append(Meter(visit, self._room.billing, terms))
        await visit.save()
        if not await record_after_consent(visit):
            return ending.talked(EndedBy.AGENT, agent.name)
        return await talk(visit, desk.channel, agent.name)
