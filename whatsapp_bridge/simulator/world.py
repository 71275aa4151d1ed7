"""Everything that is on Meta's side: numbers, calls, and what the tests arranged."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any, cast

from .business_number import BusinessNumber
from .call import Call, Surroundings
from .clock import Clock
from .config import SimulatorConfig
from .errors import GraphError
from .identity import User, new_call_id
from .inbound import InboundCall
from .media.opus import ClipCache, SoundError
from .media.pacer import Pacer
from .messages import Messages
from .models import GraphFault, PlaceCall, UserPlan
from .outbound import OutboundCall
from .payloads import CallFacts
from .permissions import WEEK, Permissions, Status
from .person import MakeInbound, Person
from .sdp import judge
from .tasks import Tasks
from .webhooks import WebhookSender

_log = logging.getLogger(__name__)
_KEPT_CALLS = 2_000
_KEPT_REQUESTS = 10_000


class ControlError(Exception):
    """The control API cannot do what was asked; `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class World:
    """Owns all calls, the webhook sender and the pacer. `start` and `close` belong together."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self.numbers = {number.phone_number_id: BusinessNumber(number) for number in config.numbers}
        self.calls: dict[str, Call] = {}
        self.users: dict[str, UserPlan] = {}
        self.phones: dict[str, Person] = {}
        "Users who hold a phone of their own, in a browser; by number."
        self.requests: deque[dict[str, Any]] = deque(maxlen=_KEPT_REQUESTS)
        self.graph_faults: list[GraphFault] = []
        self.clock = Clock()
        self.permissions = Permissions(config.limits)
        self.messages = Messages(self)
        self.clips = ClipCache()
        self._dialing = asyncio.Lock()
        self.pacer = Pacer()
        self.tasks = Tasks()
        self.sender = WebhookSender(config.webhooks, config.webhook_url, config.app_secret, self.webhooks_changed)
        self.around = Surroundings(
            sender=self.sender,
            pacer=self.pacer,
            tasks=self.tasks,
            timers=config.timers,
            sdp_rules=config.sdp,
            recordings=config.recordings,
            writing=asyncio.Semaphore(1),
        )

    async def start(self) -> None:
        """Makes the folder for recordings and opens the HTTP session."""
        await asyncio.to_thread(self.config.recordings.mkdir, parents=True, exist_ok=True)
        await self.sender.start()

    async def close(self) -> None:
        """Forgets all calls without a word to the business; waits until sockets are closed."""
        await self._end_all()
        await self.sender.close()
        self.pacer.close()

    async def reset(self) -> None:
        """Back to the beginning: no calls, no requests, no faults, numbers as configured."""
        self.sender.forget()
        await self._end_all()
        self.calls.clear()
        self.requests.clear()
        self.graph_faults.clear()
        self.users.clear()
        self.clock = Clock()
        self.permissions = Permissions(self.config.limits)
        self.messages = Messages(self)
        self.numbers = {number.phone_number_id: BusinessNumber(number) for number in self.config.numbers}

    async def place(self, wanted: PlaceCall, make: MakeInbound = InboundCall) -> InboundCall:
        """A user calls; `make` makes the call. Raises ControlError, SoundError, OSError."""
        number = self.number_named(wanted.to)
        if (refusal := number.refusal(self.clock.now())) is not None:
            raise ControlError(409, f"this number cannot be called: {refusal}")
        if wanted.hides_number and wanted.user_id is None:
            raise ControlError(400, "hides_number needs a user_id")
        behaviour = wanted.behaviour
        call_id = behaviour.call_id or new_call_id(wanted.from_, number.config.display_number, user_initiated=True)
        if call_id in self.calls:
            raise ControlError(409, "there is a call with this id already")
        facts = CallFacts(
            id=call_id,
            number=number.config,
            user=_user(wanted.from_, wanted),
            direction="USER_INITIATED",
            deeplink_payload=wanted.deeplink_payload,
            cta_payload=wanted.cta_payload,
            omit_direction=behaviour.omit_direction,
            error_places=behaviour.error_places,
            extra=behaviour.extra,
        )
        clip, silence = await wanted.play.clip(self.clips), await self.clips.silence()
        call = make(self.around, facts, wanted)
        await call.ring(clip, silence, self.config.media_address)
        self._add(call)
        self.messages.called(number, self.plan_of(wanted.from_), call_id)
        _log.info("call %s: user %s calls %s", call_id[:120], wanted.from_, number.config.display_number)
        return call

    async def dial(
        self, number: BusinessNumber, body: dict[str, Any], opaque: str | None, extras: dict[str, Any]
    ) -> str:
        """A business calls: the checks of `connect` in Meta's order; the call's id. Raises GraphError."""
        async with self._dialing:  # two at the same time must not both find the user free
            return await self._dial(number, body, opaque, extras)

    async def _dial(
        self, number: BusinessNumber, body: dict[str, Any], opaque: str | None, extras: dict[str, Any]
    ) -> str:
        number.may_dial(self.clock.now())
        plan, config = self.callee(body), number.config
        if not plan.callable:
            raise GraphError(138001)
        number.may_dial_user(plan.number)
        self.permissions.check_call(config, plan.number, self.clock.now())
        live = [call for call in self.calls.values() if call.live and call.facts.number == config]
        if any(call.facts.user.number == plan.number for call in live):
            raise GraphError(138003)
        number.may_dial_more(len(live), self.clock.now())
        session = body.get("session")
        if not isinstance(session, dict) or session.get("sdp_type") != "offer":
            raise GraphError(100, "session.sdp_type has to be offer")
        business = judge(session.get("sdp"), "offer", self.config.sdp)
        facts = CallFacts(
            id=new_call_id(plan.number, config.display_number, user_initiated=False),
            number=config,
            user=_user(plan.number, plan),
            direction="BUSINESS_INITIATED",
            omit_direction=plan.behaviour.omit_direction,
            error_places=plan.behaviour.error_places,
            extra=plan.behaviour.extra,
        )
        person = self.phones.get(plan.number)
        make = OutboundCall if person is None else person.called
        call = make(self.around, facts, plan, business, str(session["sdp"]))
        call.opaque, call.extras = opaque, extras
        try:
            clip, silence = await plan.play.clip(self.clips), await self.clips.silence()
            await call.call(clip, silence, self.config.media_address)
        except (SoundError, OSError) as error:
            raise GraphError(138004, str(error)) from None
        self._add(call)
        number.dialled_at.append(self.clock.now())
        _log.info("call %s: %s calls user %s", call.id, config.display_number, plan.number)
        return call.id

    def call(self, call_id: str) -> Call:
        """Raises ControlError 404."""
        try:
            return self.calls[call_id]
        except KeyError:
            raise ControlError(404, f"there is no call {call_id[:120]}") from None

    def number(self, phone_number_id: str) -> BusinessNumber:
        """Raises ControlError 404."""
        try:
            return self.numbers[phone_number_id]
        except KeyError:
            raise ControlError(404, f"there is no number {phone_number_id[:60]}") from None

    def take_fault(self, action: str) -> GraphFault | None:
        """The fault that this request meets, if one was arranged; each use counts it down."""
        for fault in self.graph_faults:
            if fault.action in ("*", action):
                fault.count -= 1
                if fault.count == 0:
                    self.graph_faults.remove(fault)
                return fault
        return None

    def inbound(self, call_id: object, phone_number_id: str, action: str) -> InboundCall:
        """The user-initiated call a Graph request names. Raises GraphError."""
        call = self.any_call(call_id, phone_number_id)
        if not isinstance(call, InboundCall):
            raise GraphError(100, f"{action}: the call was not initiated by a user")
        return call

    def any_call(self, call_id: object, phone_number_id: str) -> Call:
        """The call a Graph request names. Raises GraphError."""
        if not isinstance(call_id, str) or not call_id:
            raise GraphError(100, "call_id is missing or is not a string")
        call = self.calls.get(call_id)
        if call is None or call.facts.number.phone_number_id != phone_number_id:
            raise GraphError(100, f"call_id is not a call of {phone_number_id}")
        return call

    def webhooks_changed(self) -> None:
        """A webhook was posted: whoever waits for that looks again."""
        for call in self.calls.values():
            call.changed()

    def plan_of(self, number: str) -> UserPlan:
        """What this user does; the default for one without a plan."""
        return self.users.get(number) or UserPlan(number=number)

    def plan(self, plan: UserPlan) -> None:
        """Remembers what a user does, and gives the permission that the plan names."""
        self.users[plan.number] = plan
        if plan.permission is None:
            return
        status = {True: "always", False: "no_permission", "none": "no_permission"}.get(plan.permission, plan.permission)
        now = self.clock.now()
        for number in self.numbers.values():
            pair = self.permissions.pair(number.config, plan.number, now)
            pair.grant(cast("Status", status), now + WEEK)

    @staticmethod
    def user(plan: UserPlan) -> User:
        """The user as payloads name them."""
        return _user(plan.number, plan)

    def callee(self, body: dict[str, Any], *, unknown: int = 138001) -> UserPlan:
        """Whom `to` or `recipient` names. Raises GraphError; `unknown` is the code for an unknown user id."""
        to, recipient = body.get("to"), body.get("recipient")
        digits = to.removeprefix("+") if isinstance(to, str) else ""
        if digits.isascii() and digits.isdigit() and 3 <= len(digits) <= 20:
            return self.plan_of(digits)
        if to is None and isinstance(recipient, str):
            for plan in self.users.values():
                if plan.user_id == recipient:
                    return plan
            raise GraphError(unknown)
        raise GraphError(100, "to has to be a phone number, or recipient a user id")

    def number_named(self, to: str | None) -> BusinessNumber:
        """By phone_number_id or display number; None is the first one. Raises ControlError 404."""
        for number in self.numbers.values():
            if to in (None, number.config.phone_number_id, number.config.display_number):
                return number
        raise ControlError(404, f"no business number {to}")

    def _add(self, call: Call) -> None:
        while len(self.calls) >= _KEPT_CALLS:
            oldest = next((each for each in self.calls.values() if each.closed), None)
            if oldest is None:
                break
            del self.calls[oldest.id]
            self.sender.forget_call(oldest.id)
        self.calls[call.id] = call
        self.tasks.spawn(self.messages.watch(call))

    async def _end_all(self) -> None:
        for call in self.calls.values():
            call.abandon()
        try:
            async with asyncio.timeout(30):
                await self.tasks.drain()
        except TimeoutError:
            _log.warning("recordings that were not written within 30 s are given up")
            await self.tasks.close()


def _user(number: str, wanted: PlaceCall | UserPlan) -> User:
    return User(
        number=number,
        name=wanted.name,
        user_id=wanted.user_id,
        parent_user_id=wanted.parent_user_id,
        username=wanted.username,
        hides_number=wanted.hides_number,
    )
