"""The HTTP control API: what drives the simulator from outside. README.md documents it for its users."""

from __future__ import annotations

import json
import logging
import secrets
import time

import aiohttp
from aiohttp import web

from . import payloads, report
from .call import Call
from .conditions import Condition
from .inbound import InboundCall
from .jsonapi import body_of, validated
from .media.faults import MediaFaults
from .models import (
    CallEvent,
    GraphFault,
    Injection,
    NumberState,
    PlaceCall,
    PressDigits,
    Release,
    UserPlan,
    Verification,
)
from .phone import Sound
from .world import ControlError, World

_log = logging.getLogger(__name__)


class Control:
    """The handlers; what they raise becomes JSON in `jsonapi`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[web.RouteDef]:
        """All under /control."""
        # An id may hold any character but a slash, which a client has to escape.
        call = "/control/calls/{id}"
        return [
            web.get("/control", self.status),
            web.get("/control/calls", self.list),
            web.post("/control/calls", self.place),
            web.get(call, self.read),
            web.get(call + "/wait", self.wait),
            web.post(call + "/hangup", self.hangup),
            web.post(call + "/cancel", self.cancel),
            web.post(call + "/digits", self.digits),
            web.post(call + "/play", self.play),
            web.post(call + "/media", self.media),
            web.get(call + "/recording.wav", self.recording),
            web.post(call + "/webhook", self.call_event),
            web.post("/control/users", self.plan_user),
            web.get("/control/requests", self.requests),
            web.get("/control/webhooks", self.webhooks),
            web.post("/control/webhook", self.inject),
            web.post("/control/webhooks/hold", self.hold),
            web.post("/control/webhooks/release", self.release),
            web.post("/control/verify", self.verify),
            web.get("/control/faults", self.faults),
            web.post("/control/faults", self.add_fault),
            web.delete("/control/faults", self.clear_faults),
            web.patch("/control/numbers/{id}", self.number),
            web.post("/control/reset", self.reset),
        ]

    async def status(self, request: web.Request) -> web.Response:
        world = self._world
        live = [call for call in world.calls.values() if not call.closed]
        return web.json_response(
            {
                "numbers": [
                    {
                        "phone_number_id": number.config.phone_number_id,
                        "display_number": number.config.display_number,
                        "calling_enabled": number.calling_enabled,
                        "sip_enabled": number.sip_enabled,
                    }
                    for number in world.numbers.values()
                ],
                "webhook_url": world.sender.url,
                "calls": len(world.calls),
                "live_calls": len(live),
                "requests": len(world.requests),
                "late_ticks": world.pacer.skipped_slots,
            }
        )

    async def list(self, request: web.Request) -> web.Response:
        return web.json_response([report.summary(call) for call in self._world.calls.values()])

    async def place(self, request: web.Request) -> web.Response:
        call = await self._world.place(await body_of(request, PlaceCall))
        return web.json_response(report.full(call), status=201)

    async def read(self, request: web.Request) -> web.Response:
        return web.json_response(report.full(self._call(request)))

    async def wait(self, request: web.Request) -> web.Response:
        call = self._call(request)
        query = dict(request.query)
        try:
            timeout = float(query.pop("timeout", "10"))
        except ValueError:
            raise ControlError(400, "timeout is not a number of seconds") from None
        if not 0 <= timeout <= 600:
            raise ControlError(400, "timeout has to be 0 to 600 seconds")
        condition = validated(Condition, query)
        try:
            fulfilled = await condition.wait(call, timeout)
        except LookupError as error:
            raise ControlError(409, str(error)) from None
        body = report.full(call)
        if fulfilled:
            return web.json_response(body)
        what = "the call ended before" if call.closed else f"not within {timeout:g} s:"
        message = f"{what} {condition.text()}; the call is {call.state}"
        return web.json_response({"error": message, "call": body}, status=409 if call.closed else 408)

    async def hangup(self, request: web.Request) -> web.Response:
        call = self._call(request)
        if not call.live:
            raise ControlError(409, "the call has ended already")
        call.end("user")
        return web.json_response(report.full(call))

    async def cancel(self, request: web.Request) -> web.Response:
        call = self._call(request)
        if call.state not in ("ringing", "pre_accepted") or not isinstance(call, InboundCall):
            raise ControlError(409, f"only a ringing call can be cancelled; this one is {call.state}")
        call.cancel()
        return web.json_response(report.full(call))

    async def digits(self, request: web.Request) -> web.Response:
        call = self._connected(request)
        press = await body_of(request, PressDigits)
        if not call.relay.can_send_events:
            raise ControlError(409, "the business's SDP has no telephone-event: digits cannot be sent")
        call.phone.press(press.digits, press.duration_ms, press.gap_ms)
        return web.json_response(report.full(call))

    async def play(self, request: web.Request) -> web.Response:
        call = self._call(request)
        sound = await body_of(request, Sound)
        clip = await sound.clip(self._world.clips)
        call.phone.play(clip, loop=sound.loop)
        return web.json_response(report.full(call))

    async def media(self, request: web.Request) -> web.Response:
        call = self._connected(request)
        faults = await body_of(request, MediaFaults)
        now = time.monotonic()
        call.relay.faults.configure(faults, now)
        if faults.early_frames:
            call.phone.send_early(faults.early_frames, now)
        return web.json_response(report.full(call))

    async def recording(self, request: web.Request) -> web.StreamResponse:
        call = self._call(request)
        if call.recording["state"] == "written":
            return web.FileResponse(call.recording_path)
        path = call.recording_path.with_suffix(".partial.wav")
        try:
            await call.write_recording(path)
        except LookupError as error:
            raise ControlError(409, str(error)) from None
        return web.FileResponse(path)

    async def call_event(self, request: web.Request) -> web.Response:
        call = self._call(request)
        wanted = await body_of(request, CallEvent)
        call.webhook(wanted.event, payloads.event(call.facts, wanted.event, int(time.time()), wanted.content))
        return web.json_response(report.full(call))

    async def plan_user(self, request: web.Request) -> web.Response:
        plan = await body_of(request, UserPlan)
        await plan.play.clip(self._world.clips)  # so that a sound that cannot be played is told now
        self._world.plan(plan)
        return web.json_response(plan.model_dump(mode="json"), status=201)

    async def requests(self, request: web.Request) -> web.Response:
        wanted = {key: request.query[key] for key in ("action", "call_id") if key in request.query}
        found = [entry for entry in self._world.requests if all(entry[key] == value for key, value in wanted.items())]
        return web.json_response(found)

    async def webhooks(self, request: web.Request) -> web.Response:
        return web.json_response([webhook.report() for webhook in self._world.sender.sent])

    async def inject(self, request: web.Request) -> web.Response:
        injection = await body_of(request, Injection)
        raw = injection.raw.encode() if injection.raw is not None else json.dumps(injection.body).encode()
        try:
            webhook, status, reply = await self._world.sender.inject(raw, injection.signature, injection.headers)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ControlError(502, f"the webhook could not be posted: {error or type(error).__name__}") from None
        return web.json_response(
            {"id": webhook.id, "status": status, "reply": reply.decode("utf-8", "replace")[:65536]}
        )

    async def hold(self, request: web.Request) -> web.Response:
        self._world.sender.hold()
        return web.json_response({"holding": True})

    async def release(self, request: web.Request) -> web.Response:
        release = await body_of(request, Release)
        try:
            webhook = self._world.sender.release(
                release.shape, backwards=release.backwards, signature=release.signature
            )
        except LookupError as error:
            raise ControlError(409, str(error)) from None
        return web.json_response(webhook.report())

    async def verify(self, request: web.Request) -> web.Response:
        wanted = await body_of(request, Verification)
        world = self._world
        challenge = wanted.challenge or str(secrets.randbelow(10**10))
        token = wanted.verify_token
        if token is None:
            token = world.config.verify_token.get_secret_value()
        query = {"hub.mode": wanted.mode, "hub.challenge": challenge, "hub.verify_token": token}
        try:
            async with world.sender.http.get(world.sender.url, params=query) as reply:
                body = (await reply.read()).decode("utf-8", "replace")
                verified = reply.status == 200 and body == challenge
                return web.json_response(
                    {"verified": verified, "status": reply.status, "challenge": challenge, "reply": body[:4096]}
                )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ControlError(502, f"the webhook address does not answer: {error or type(error).__name__}") from None

    async def faults(self, request: web.Request) -> web.Response:
        return web.json_response([fault.model_dump() for fault in self._world.graph_faults])

    async def add_fault(self, request: web.Request) -> web.Response:
        fault = await body_of(request, GraphFault)
        self._world.graph_faults.append(fault)
        return web.json_response(fault.model_dump(), status=201)

    async def clear_faults(self, request: web.Request) -> web.Response:
        self._world.graph_faults.clear()
        return web.json_response([])

    async def number(self, request: web.Request) -> web.Response:
        number = self._world.number(request.match_info["id"])
        wanted = await body_of(request, NumberState)
        for key, value in wanted.model_dump(exclude_none=True).items():
            setattr(number, key, value)
        return await self.status(request)

    async def reset(self, request: web.Request) -> web.Response:
        await self._world.reset()
        return await self.status(request)

    def _call(self, request: web.Request) -> Call:
        return self._world.call(request.match_info["id"])

    def _connected(self, request: web.Request) -> Call:
        call = self._call(request)
        if call.state != "connected":
            raise ControlError(409, f"the call is {call.state}, not connected")
        return call
