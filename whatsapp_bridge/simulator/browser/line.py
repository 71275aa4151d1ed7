"""One open page: who its user is, the call it has, and what is said over its websocket."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Final, Literal

from aiohttp import WSMsgType, web
from pydantic import ValidationError

from .. import models
from ..call import Surroundings
from ..config import NumberConfig
from ..models import UserPlan
from ..outbound import OutboundCall
from ..payloads import CallFacts
from ..phone import Sound
from ..sdp import BusinessMedia
from ..world import ControlError, World
from .calls import BrowserInboundCall, BrowserOutboundCall
from .consent import Consent
from .description import BrowserDescription, DescriptionError, read
from .messages import Act, Description, Permit, PlaceCall, Profile, Stats, SwitchOn, Told, said

_log = logging.getLogger(__name__)

ANSWER_LIMIT: Final = 5.0
"""Seconds a page may take to write its SDP for a business that calls; a tenth is usual."""
_MAX_UNSENT: Final = 256


class Line:
    """A page's connection, from `run` until it is closed: then the user has hung up."""

    def __init__(self, world: World, socket: web.WebSocketResponse, lines: dict[str, Line]) -> None:
        """`lines` are those of all pages that are switched on, by the user's number."""
        self._world = world
        self._socket = socket
        self._lines = lines
        self._user: SwitchOn | None = None
        self._consent: Consent | None = None
        self._call: BrowserInboundCall | BrowserOutboundCall | None = None
        self._unsent: asyncio.Queue[Told] = asyncio.Queue(_MAX_UNSENT)
        self._asked: dict[str, asyncio.Future[BrowserDescription]] = {}

    async def run(self) -> None:
        """Talks until the page is gone."""
        self.tell({"type": "ready", "numbers": self._numbers()})
        sender = asyncio.create_task(self._send(), name="page's sender")
        try:
            async for message in self._socket:
                if message.type is WSMsgType.TEXT:
                    await self._take(message.data)
        finally:
            self._switch_off()
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    async def close(self) -> None:
        """Ends the connection; the page connects again when it can."""
        await self._socket.close(code=1001)

    def tell(self, told: Told) -> None:
        """Sends to the page, in order. A page that does not read is given up."""
        try:
            self._unsent.put_nowait(told)
        except asyncio.QueueFull:
            _log.warning("a phone's page does not read what it is told and is let go")
            self._world.tasks.spawn(self.close())

    async def _send(self) -> None:
        while True:
            told = await self._unsent.get()
            try:
                await self._socket.send_json(told)
            except ConnectionError:
                return

    async def _take(self, text: str) -> None:
        try:
            message = said.validate_json(text)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            self._refuse(f"not understood: {'.'.join(map(str, problem['loc']))}: {problem['msg']}")
            return
        match message:
            case SwitchOn():
                self._switch_on(message)
            case PlaceCall():
                await self._place(message)
            case Description():
                self._described(message)
            case Act():
                self._act(message)
            case Stats():
                if self._call is not None and self._call.id == message.call:
                    self._call.take(message)
            case Permit() | Profile():
                if self._consent is not None:
                    self._consent.take(message)

    # The user

    def _switch_on(self, user: SwitchOn) -> None:
        self._switch_off()
        other = self._lines.get(user.number)
        if other is not None:  # the same user in a newer window
            other._switch_off()
            other.tell({"type": "taken"})
        self._user = user
        self._lines[user.number] = self
        self._world.phones[user.number] = self
        self._consent = Consent(self._world, user.number, self.tell)
        self._consent.show()
        _log.info("user %s holds a phone in a browser", user.number)

    def _switch_off(self) -> None:
        if self._call is not None and self._call.live:
            self._call.end("user")
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(DescriptionError("its page was closed"))
        if self._user is not None:
            del self._lines[self._user.number], self._world.phones[self._user.number]
        self._user = self._consent = None

    # What the simulator asks of a person

    def called(
        self, around: Surroundings, facts: CallFacts, plan: UserPlan, business: BusinessMedia, sdp: str
    ) -> OutboundCall:
        """A business calls this user."""
        if self._busy:
            return OutboundCall(around, facts, plan.model_copy(update={"answer": "reject"}), business, sdp)
        call = BrowserOutboundCall(around, facts, plan, business, sdp, tell=self._tell_of_call, describe=self._describe)
        self._call = call
        return call

    def asked(self, number: NumberConfig, message_id: str, text: str) -> None:
        """A business asks for permission to call."""
        if self._consent is not None:
            self._consent.asked(number, message_id, text)

    # Calls

    async def _place(self, wanted: PlaceCall) -> None:
        if self._user is None or self._busy:
            self._refuse("the phone is off" if self._user is None else "the phone is in a call already")
            return
        place = models.PlaceCall(
            to=wanted.to, from_=self._user.number, name=self._user.name, play=Sound(nothing=True), record=False
        )
        try:
            description = read(wanted.sdp, self._family)
            make = partial(BrowserInboundCall, tell=self._tell_of_call, description=description)
            call = await self._world.place(place, make)
        except DescriptionError as error:
            self._refuse(f"the browser's SDP cannot be used: {error}")
        except (ControlError, OSError) as error:
            self._refuse(str(error))
        else:
            assert isinstance(call, BrowserInboundCall)
            self._call = call
            self.tell({"type": "calling", "call": call.id})

    async def _describe(self, offer: Told) -> BrowserDescription:
        """Gives the page a business's SDP, and waits for the browser's. Raises OSError."""
        answer: asyncio.Future[BrowserDescription] = asyncio.get_running_loop().create_future()
        self._asked[offer["call"]] = answer
        self.tell(offer)
        try:
            async with asyncio.timeout(ANSWER_LIMIT):
                return await answer
        except (TimeoutError, DescriptionError) as error:
            self._call = None
            why = str(error) or "may it use the microphone?"
            raise OSError(f"the phone in the browser does not answer: {why}") from None
        finally:
            del self._asked[offer["call"]]

    def _described(self, message: Description) -> None:
        answer = self._asked.get(message.call)
        if answer is None or answer.done():
            return
        try:
            answer.set_result(read(message.sdp, self._family))
        except DescriptionError as error:
            answer.set_exception(error)

    def _act(self, act: Act) -> None:
        answer = self._asked.get(act.call)
        if answer is not None:  # the business has not been told of a call yet
            if not answer.done():
                answer.set_exception(DescriptionError("it may not use the microphone"))
            return
        call = self._call
        if call is None or call.id != act.call or not call.live:
            return  # the other side was quicker, and the page will hear of it
        if act.type == "hangup":
            call.end("user")
        elif isinstance(call, BrowserOutboundCall):
            if act.type == "accept":
                call.accept()
            else:
                call.reject()

    def _tell_of_call(self, told: Told) -> None:
        self.tell(told)
        if told["type"] == "ended" and self._consent is not None:
            self._consent.show()  # calls that nobody takes can cost the permission

    @property
    def _busy(self) -> bool:
        return self._call is not None and self._call.live

    @property
    def _family(self) -> Literal[4, 6]:
        return 6 if ":" in self._world.config.media_address else 4

    def _numbers(self) -> list[dict[str, str]]:
        return [
            {"id": number.config.phone_number_id, "number": number.config.display_number, "name": number.config.name}
            for number in self._world.numbers.values()
        ]

    def _refuse(self, why: str) -> None:
        self.tell({"type": "refused", "reason": why})
