"""A business for the simulator to talk to: a webhook receiver, a Graph client, and stock aiortc as its peer."""

from __future__ import annotations

import asyncio
import fractions
import hashlib
import hmac
import json
import math
import time
from array import array
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp import web
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
from av import AudioFrame

TOKEN, SECRET, VERIFY = "EAAtoken", "app-secret", "verify-me"
JSON = dict[str, Any]


class ToneTrack(MediaStreamTrack):
    """A sine of 20 ms frames, paced by the clock."""

    kind = "audio"

    def __init__(self, hz: float, dbfs: float = -20.0) -> None:
        super().__init__()
        self._hz, self._amplitude = hz, 32767 * 10 ** (dbfs / 20)
        self._position = 0
        self._begin: float | None = None
        self.silent = asyncio.Event()

    async def recv(self) -> AudioFrame:
        if self._begin is None:
            self._begin = time.monotonic()
        wait = self._begin + self._position / 48_000 - time.monotonic()
        await asyncio.sleep(max(wait, 0))
        step = 2 * math.pi * self._hz / 48_000
        samples = array("h")
        for n in range(960):  # both channels: FFmpeg takes 3 dB off when it makes stereo of mono
            samples.extend([round(self._amplitude * math.sin(step * (self._position + n)))] * 2)
        frame = AudioFrame(format="s16", layout="stereo", samples=960)
        frame.sample_rate = 48_000
        frame.pts = self._position
        frame.time_base = fractions.Fraction(1, 48_000)
        frame.planes[0].update(samples.tobytes())
        self._position += 960
        return frame


class Peer:
    """A WebRTC side: answers an offer by aiortc, keeps what it hears."""

    def __init__(self, hz: float = 440.0, *, setup: str = "active") -> None:
        self.connection = RTCPeerConnection()
        self.track = ToneTrack(hz)
        self.heard = array("h")
        self._setup = setup
        self._tasks: list[asyncio.Task[None]] = []

    async def answer(self, offer: str, change: Callable[[str], str] = lambda sdp: sdp) -> str:
        """The answer, fit for Meta: one fingerprint, Opus and telephone-event only."""
        peer = self.connection

        @peer.on("track")
        def on_track(track: MediaStreamTrack) -> None:
            self._tasks.append(asyncio.get_running_loop().create_task(self._listen(track)))

        await peer.setRemoteDescription(RTCSessionDescription(sdp=offer, type="offer"))
        transceiver = peer.getTransceivers()[0]
        capabilities = RTCRtpReceiver.getCapabilities("audio")
        assert capabilities is not None
        opus = [codec for codec in capabilities.codecs if codec.mimeType == "audio/opus"]
        transceiver.setCodecPreferences(opus)
        transceiver.direction = "sendrecv"
        transceiver.sender.replaceTrack(self.track)
        answer = await peer.createAnswer()
        if self._setup == "passive":
            answer.sdp = answer.sdp.replace("a=setup:active", "a=setup:passive")
        await peer.setLocalDescription(answer)
        return change(fit_for_meta(peer.localDescription.sdp))

    async def close(self) -> None:
        """Ends it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.connection.close()

    async def _listen(self, track: MediaStreamTrack) -> None:
        while True:
            frame = await track.recv()
            assert isinstance(frame, AudioFrame)
            channels = len(frame.layout.channels)
            samples = array("h", bytes(frame.planes[0])[: frame.samples * 2 * channels])
            self.heard.extend(samples[::channels])


def fit_for_meta(sdp: str, *, telephone_event: bool = True) -> str:
    """aiortc's SDP with one sha-256 fingerprint, one SSRC line, and telephone-event."""
    lines = []
    for line in sdp.splitlines():
        if line.lower().startswith("a=fingerprint:") and not line.lower().startswith("a=fingerprint:sha-256"):
            continue
        if telephone_event and line.startswith("m=audio "):
            line += " 126"
        lines.append(line)
        if telephone_event and line.startswith("a=rtpmap:111 "):
            lines.append("a=rtpmap:126 telephone-event/8000")
    return "\r\n".join(lines) + "\r\n"


class Business:
    """Receives webhooks, checks their signature, speaks to the Graph API."""

    def __init__(self) -> None:
        self.received: list[JSON] = []
        self.raw: list[tuple[dict[str, str], bytes]] = []
        self.good: list[bool] = []
        self.reply_status = [200]
        self.url = ""
        self.graph = ""
        self._arrived = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Listens on a free port."""
        app = web.Application()
        app.add_routes([web.post("/webhook", self._post), web.get("/webhook", self._get)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}/webhook"
        self._session = aiohttp.ClientSession()

    async def close(self) -> None:
        """Ends it."""
        assert self._session is not None
        assert self._runner is not None
        await self._session.close()
        await self._runner.cleanup()

    async def post(
        self, body: Any, *, pnid: str = "106540352242922", token: str = TOKEN, path: str | None = None
    ) -> tuple[int, JSON]:
        """A Graph request."""
        assert self._session is not None
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = self.graph + (path or f"/v23.0/{pnid}/calls")
        async with self._session.post(url, json=body, headers=headers) as reply:
            return reply.status, await reply.json()

    async def act(self, action: str, call_id: str, sdp: str | None = None, **more: Any) -> tuple[int, JSON]:
        """An action on a call."""
        body: JSON = {"messaging_product": "whatsapp", "call_id": call_id, "action": action, **more}
        if sdp is not None:
            body["session"] = {"sdp_type": "answer", "sdp": sdp}
        return await self.post(body)

    def values(self) -> list[JSON]:
        """All `value` objects received, in order."""
        return [change["value"] for body in self.received for entry in body["entry"] for change in entry["changes"]]

    def calls(self, event: str) -> list[JSON]:
        """All call objects of an event."""
        return [call for value in self.values() for call in value.get("calls", []) if call["event"] == event]

    async def next_call(self, event: str, count: int = 1, timeout: float = 10.0) -> JSON:
        """Waits until `count` such call objects have come; gives the last."""
        async with asyncio.timeout(timeout), self._arrived:
            await self._arrived.wait_for(lambda: len(self.calls(event)) >= count)
        return self.calls(event)[count - 1]

    async def posts(self, count: int, timeout: float = 10.0) -> None:
        """Waits until so many POSTs have come."""
        async with asyncio.timeout(timeout), self._arrived:
            await self._arrived.wait_for(lambda: len(self.raw) >= count)

    async def _post(self, request: web.Request) -> web.Response:
        raw = await request.read()
        expected = "sha256=" + hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
        async with self._arrived:
            self.raw.append((dict(request.headers), raw))
            self.good.append(hmac.compare_digest(request.headers.get("X-Hub-Signature-256", ""), expected))
            status = self.reply_status[0] if len(self.reply_status) == 1 else self.reply_status.pop(0)
            if status == 200:
                self.received.append(json.loads(raw))
            self._arrived.notify_all()
        return web.Response(status=status)

    async def _get(self, request: web.Request) -> web.Response:
        if request.query.get("hub.verify_token") != VERIFY or request.query.get("hub.mode") != "subscribe":
            return web.Response(status=403)
        return web.Response(text=request.query["hub.challenge"])


def level(samples: array[int], hz: float, rate: int) -> float:
    """The level of one frequency in dB, a full-scale sine being 0 (Goertzel's algorithm)."""
    coefficient = 2 * math.cos(2 * math.pi * hz / rate)
    before = last = 0.0
    for sample in samples:
        before, last = last, sample + coefficient * last - before
    power = before * before + last * last - coefficient * before * last
    amplitude = 2 * math.sqrt(max(power, 1e-9)) / max(len(samples), 1)
    return 20 * math.log10(amplitude / 32767)
