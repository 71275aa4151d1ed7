"""The control API's part about permissions, messages, settings, restrictions and Meta's clock."""

from __future__ import annotations

from aiohttp import web

from .account_payloads import restriction, violation
from .consent_models import AccountUpdate, Advance, Answer, CustomerMessage, Grant, SettingsChange
from .jsonapi import body_of
from .permissions import Pair, Status
from .settings import Restriction
from .world import ControlError, World


class ConsentControl:
    """The handlers; what they raise becomes JSON in `jsonapi`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/control/clock", self.clock),
            web.post("/control/clock", self.advance),
            web.get("/control/permissions", self.permissions),
            web.post("/control/permissions", self.grant),
            web.post("/control/permissions/answer", self.answer),
            web.get("/control/messages", self.messages),
            web.post("/control/messages", self.write),
            web.get("/control/numbers/{id}/settings", self.settings),
            web.post("/control/numbers/{id}/settings", self.change_settings),
            web.post("/control/numbers/{id}/account", self.account),
        ]

    async def clock(self, request: web.Request) -> web.Response:
        clock = self._world.clock
        return web.json_response({"now": clock.now(), "offset": clock.offset})

    async def advance(self, request: web.Request) -> web.Response:
        self._world.clock.advance((await body_of(request, Advance)).seconds)
        return await self.clock(request)

    async def permissions(self, request: web.Request) -> web.Response:
        pairs = self._world.permissions.pairs(self._world.clock.now())
        return web.json_response([_shown(*key, pair) for key, pair in pairs.items()])

    async def grant(self, request: web.Request) -> web.Response:
        wanted = await body_of(request, Grant)
        number, now = self._world.number_named(wanted.number).config, self._world.clock.now()
        pair = self._world.permissions.pair(number, wanted.user, now)
        status: Status = "no_permission" if wanted.status == "none" else wanted.status
        pair.grant(status, now + wanted.seconds)
        return web.json_response(_shown(number.phone_number_id, wanted.user, pair.at(now)), status=201)

    async def answer(self, request: web.Request) -> web.Response:
        wanted = await body_of(request, Answer)
        number, now = self._world.number_named(wanted.number).config, self._world.clock.now()
        plan, pair = self._world.plan_of(wanted.user), self._world.permissions.pair(number, wanted.user, now)
        shape = {"expiration_as": wanted.expiration_as, "omit_type": wanted.omit_type}
        messages = self._world.messages
        if wanted.to == "profile":
            messages.profile(number, plan, grants=wanted.response != "decline", **shape)
        else:
            message_id = wanted.message_id or (pair.requests[-1].message_id if pair.requests else "")
            statuses: dict[str, Status] = {"accept": "temporary", "accept_permanent": "permanent"}
            status = statuses.get(wanted.response, "no_permission")
            try:
                messages.answer(number, plan, message_id, status, **shape)
            except LookupError as error:
                raise ControlError(409, str(error)) from None
        return web.json_response(_shown(number.phone_number_id, wanted.user, pair.at(now)))

    async def messages(self, request: web.Request) -> web.Response:
        return web.json_response(list(self._world.messages.sent))

    async def write(self, request: web.Request) -> web.Response:
        wanted = await body_of(request, CustomerMessage)
        number = self._world.number_named(wanted.number).config
        self._world.messages.write(number, self._world.plan_of(wanted.user), wanted.text)
        return web.json_response({"sent": True}, status=201)

    async def settings(self, request: web.Request) -> web.Response:
        number = self._world.number(request.match_info["id"])
        return web.json_response(number.settings.read(self._world.clock.now()))

    async def change_settings(self, request: web.Request) -> web.Response:
        number = self._world.number(request.match_info["id"])
        wanted = await body_of(request, SettingsChange)
        number.settings.calling |= wanted.calling
        if wanted.tell:
            self._world.messages.tell_settings(number)
        return await self.settings(request)

    async def account(self, request: web.Request) -> web.Response:
        number = self._world.number(request.match_info["id"])
        wanted = await body_of(request, AccountUpdate)
        until = None if wanted.seconds is None else int(self._world.clock.now()) + wanted.seconds
        if wanted.restriction is not None:
            number.settings.restrictions.append(Restriction(wanted.restriction, until, wanted.reason))
            value = restriction(number.config, wanted.restriction, until, wanted.remediation)
        elif wanted.violation is not None:
            value = violation(number.config, wanted.violation, wanted.remediation)
        else:
            raise ControlError(400, "name a restriction or a violation")
        if wanted.tell:
            self._world.messages.tell_account(number.config, value)
        return await self.settings(request)


def _shown(phone_number_id: str, user: str, pair: Pair) -> dict[str, object]:
    return {
        "phone_number_id": phone_number_id,
        "user": user,
        "status": pair.status,
        "expires_at": pair.expires_at,
        "window_until": pair.window_until,
        "requests": [vars(each) for each in pair.requests],
        "unanswered": pair.unanswered,
        "connected": len(pair.connected),
        "system_messages": pair.system_messages,
    }
