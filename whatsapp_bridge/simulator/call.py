"""One call at Meta: its state, its relay and phone, its timers, and who waits for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from . import payloads
from .config import SdpRules, Timers
from .media.opus import PLAY_RATE, Clip
from .media.pacer import Pacer
from .media.recorder import PLAYOUT
from .media.relay import Relay
from .models import Behaviour
from .offer import RelayMedia
from .payloads import CallFacts, Ending
from .phone import Phone
from .sdp import BusinessMedia
from .tasks import Tasks
from .webhooks import WebhookOptions, WebhookSender

_log = logging.getLogger(__name__)

State = Literal["new", "ringing", "pre_accepted", "connected", "ended"]
Side = Literal["user", "business", "meta"]
NO_MEDIA = 138021
QUIET_BYTES = 10
"An Opus frame this small is silence."


@dataclass(frozen=True)
class Surroundings:
    """What all calls share."""

    sender: WebhookSender
    pacer: Pacer
    tasks: Tasks
    timers: Timers
    sdp_rules: SdpRules
    recordings: Path
    writing: asyncio.Semaphore
    "recordings are written one at a time"


class Call:
    """What calls of either direction have in common. It is the listener of its relay."""

    relay: Relay
    phone: Phone

    def __init__(
        self, around: Surroundings, facts: CallFacts, behaviour: Behaviour, webhook_options: WebhookOptions
    ) -> None:
        self.around = around
        self.facts = facts
        self.behaviour = behaviour
        self.webhook_options = webhook_options
        self.state: State = "new"
        self.times: dict[str, float] = {"placed": time.time()}
        self.ended_by: Side | None = None
        self.ending: Ending | None = None
        self.early_media = False
        self.local_sdp = ""
        self.business: BusinessMedia | None = None
        self.business_sdp: str | None = None
        self.opaque: str | None = None
        self.extras: dict[str, Any] = {}
        "recording and transcription, as the accept asked for them"
        self.recording: dict[str, Any] = {"state": "off", "path": None}
        self.closed = False
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._waiters: set[asyncio.Future[None]] = set()
        self._audio_at_accept = 0

    @property
    def id(self) -> str:
        """The wacid."""
        return self.facts.id

    @property
    def live(self) -> bool:
        """Not ended."""
        return self.state != "ended"

    # What the relay tells (RelayListener)

    def transport_changed(self) -> None:
        """ICE nomination or DTLS state changed."""
        if self.relay.ice.nominated is not None:
            self.times.setdefault("nominated", time.time())
        if self.relay.dtls.state == "connected":
            self.times.setdefault("dtls_connected", time.time())
        self.changed()

    def first_packet(self) -> None:
        """The business's first RTP packet."""
        self.times["first_packet"] = time.time()
        self.phone.heard_something = True
        self.changed()

    def audio(self, sequence: int, timestamp: int, payload: bytes, now: float) -> None:
        """An Opus packet of the business."""
        if self.state == "connected":
            if "first_audio" not in self.times:
                self.times["first_audio"] = time.time()
                self.changed()
            if len(payload) > QUIET_BYTES and "first_voice" not in self.times:
                self.times["first_voice"] = time.time()
                self.changed()
            self.phone.heard(timestamp, payload, now)
        elif self.state != "ended":
            # Meta: what is sent before accept's reply is an early answer, and its words are lost.
            self.early_media = True
            self.relay.counters.early += 1

    def digit(self) -> None:
        """The business pressed a digit."""
        self.changed()

    def counted(self) -> None:
        """Somebody waits for this number of packets."""
        self.changed()

    # Waiting

    def changed(self) -> None:
        """Wakes everybody who waits."""
        for waiter in tuple(self._waiters):
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, fulfilled: Callable[[], bool], timeout: float) -> bool:
        """Waits at most `timeout` seconds for `fulfilled`; an ended and closed call waits no more."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while not fulfilled():
            if self.closed and not self.around.sender.pending(self.id):
                return False
            waiter: asyncio.Future[None] = loop.create_future()
            self._waiters.add(waiter)
            try:
                async with asyncio.timeout_at(deadline):
                    await waiter
            except TimeoutError:
                return fulfilled()
            finally:
                self._waiters.discard(waiter)
        return True

    # Stages

    async def open_media(self, address: str, clip: Clip | None, silence: Clip, *, loop: bool, record: bool) -> None:
        """Binds the relay's socket and gives the user a phone. Raises OSError."""
        self.relay = await Relay.open(address, self)
        self.relay.ice.answers_role_conflict = self.behaviour.role_conflict == "487"
        waits = self.behaviour.waits_for_media
        self.phone = Phone(self.relay, clip, silence, loop=loop, record=record, waits=waits)
        self.phone.on_played_out = self.changed

    @property
    def relay_media(self) -> RelayMedia:
        """The relay, as its SDP describes it."""
        host, port = self.relay.address
        ice = self.relay.ice
        return RelayMedia(host, port, ice.ufrag, ice.pwd, self.relay.identity.fingerprint, self.relay.ssrc)

    def webhook(self, event: str, value: dict[str, Any]) -> None:
        """Posts one of this call's webhooks."""
        self.around.sender.send(self.id, self.facts.number.waba_id, event, value, self.webhook_options)

    def connected(self) -> None:
        """The call is accepted: the clock of talk time begins, media may flow."""
        now = time.monotonic()
        self.state = "connected"
        self.times["accepted"] = time.time()
        self.stop_timer("ring")
        self._audio_at_accept = self.relay.counters.packets_in
        self.phone.connect(now)
        self.around.pacer.add(self.phone)
        if self.phone.recorder is not None:
            self.recording["state"] = "running"
            self.recording["started_at"] = self.times["accepted"]
        self.start_timer("first_media", self.behaviour.first_media_s or self.around.timers.first_media, self._first)
        if self.behaviour.hangup_after_ms is not None:
            self.start_timer("hangup", self.behaviour.hangup_after_ms / 1000, lambda: self.end("user"))
        self.changed()

    def end(self, by: Side, *errors: int) -> None:
        """Ends the call and says so by webhook. An ended call stays as it is."""
        if self.state == "ended":
            return
        now = time.time()
        accepted = self.times.get("accepted")
        self.state, self.ended_by = "ended", by
        self.times["ended"] = now
        for name in tuple(self._timers):
            self.stop_timer(name)
        self.around.pacer.remove(self.phone)
        status: Literal["COMPLETED", "FAILED"] = "FAILED" if errors else "COMPLETED"
        if accepted is None:
            self.ending = Ending(status, int(now), errors=errors)
        else:
            start = int(accepted)
            end = start + round(now - accepted)
            self.ending = Ending(status, end, start, end, errors)
        self.tell_end(payloads.terminate(self.facts, self.ending, self.opaque))
        _log.info("call %s: ended by %s, %s %s", self.id[:120], by, status, errors or "")
        self.around.tasks.spawn(self._give_back())
        self.changed()

    def tell_end(self, value: dict[str, Any]) -> None:
        """Posts the terminate webhook."""
        self.webhook("terminate", value)

    def abandon(self) -> None:
        """Ends the call without a webhook: the simulator forgets it."""
        if self.state != "ended":
            self.state, self.ended_by = "ended", "meta"
            self.times["ended"] = time.time()
            for name in tuple(self._timers):
                self.stop_timer(name)
            self.around.pacer.remove(self.phone)
            self.recording["state"] = "off"
            self.around.tasks.spawn(self._give_back())
            self.changed()

    async def write_recording(self, path: Path) -> None:
        """Writes what was heard so far. Raises LookupError if this call is not recorded or not accepted."""
        recorder = self.phone.recorder
        if recorder is None or recorder.started is None:
            raise LookupError("nothing was recorded")
        end = recorder.started + self.times.get("ended", time.time()) - self.times["accepted"]
        async with self.around.writing:
            await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
            line = await asyncio.to_thread(recorder.write, path, end)
        self.recording |= {
            "path": str(path),
            "rate": PLAY_RATE,
            "playout_ms": round(PLAYOUT * 1000),
            "late_packets": line.late,
            "line_shifts": line.shifts,
        }

    @property
    def recording_path(self) -> Path:
        """Where the recording goes: a name made of safe letters of the id."""
        safe = "".join(letter for letter in self.id if letter.isalnum())[-40:]
        return self.around.recordings / f"{int(self.times['placed'] * 1000)}-{safe}.wav"

    # Timers

    def start_timer(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        """Does `action` in that time, unless stopped; one timer of each name."""
        self.stop_timer(name)
        self._timers[name] = asyncio.get_running_loop().call_later(seconds, action)

    def stop_timer(self, name: str) -> None:
        """Stops a timer; one that does not run is fine."""
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _first(self) -> None:
        if self.relay.counters.packets_in == self._audio_at_accept:
            self.end("meta", NO_MEDIA)
        else:
            self._gap()

    def _gap(self) -> None:
        allowed = self.behaviour.media_gap_s or self.around.timers.media_gap
        quiet = time.monotonic() - (self.relay.counters.last_packet_at or 0.0)
        if quiet >= allowed:
            self.end("meta", NO_MEDIA)
        else:
            self.start_timer("media_gap", allowed - quiet, self._gap)

    async def _give_back(self) -> None:
        await self.relay.close()
        if self.recording["state"] == "running":
            try:
                await self.write_recording(self.recording_path)
                self.recording["state"] = "written"
            except OSError as error:
                self.recording |= {"state": "failed", "error": str(error)}
                _log.error("call %s: recording not written: %s", self.id[:120], error)
        self.closed = True
        self.changed()
