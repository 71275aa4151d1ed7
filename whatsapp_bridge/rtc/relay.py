"""Voice between Meta's relay and Asterisk: Opus passes through untouched, nothing is decoded.

Everything that happens per packet happens in the callback in which the packet arrived. What must happen without a
packet (filling silence, sending a digit) is driven by one 20 ms clock that all calls of the process share.
"""

import asyncio
import logging
import secrets
import struct
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Self

from whatsapp_bridge.pbx.media_socket import MediaSocket
from whatsapp_bridge.rtc.peer import Peer
from whatsapp_bridge.rtc.playout import PACKET_TIME, QUIET_BYTES, Playout
from whatsapp_bridge.rtc.rtp import (
    DIGITS,
    OPUS,
    SAMPLES_PER_FRAME,
    SILENCE,
    TELEPHONE_EVENT,
    DigitReceiver,
    RtpError,
    RtpPacket,
    digit_payloads,
    rtp_bytes,
)

logger = logging.getLogger(__name__)

#: Frames kept while Meta has not yet confirmed `accept` (2 s): the first words of a prompt are among them.
MAX_HELD = 100
#: What the user says while ACCEPTED is on its way to us (1 s). Sound that began earlier is no answer but early media,
#: and nobody is to hear it.
MAX_EARLY = 50
#: Without a frame from Asterisk for this long, silence is sent: Meta ends calls that hear nothing for 20 s, and
#: its phones send nothing before they have heard something.
QUIET_TIME = 0.1
#: How often Asterisk is asked for the real depth of its queue, s.
STATUS_INTERVAL = 2.0
#: RFC 3550 §6.2 with one sender: a report every 5 s.
REPORT_INTERVAL = 5.0
#: Seconds from 1900 (NTP) to 1970 (Unix).
_NTP_EPOCH = 2_208_988_800
#: Sound between two digits, s; receivers want 30 to 70 ms to tell them apart (ITU-T Q.24).
DIGIT_PAUSE = 0.07
#: More digits than this waiting to be sent are somebody's mistake.
MAX_DIGITS_WAITING = 64


class MediaClock:
    """One 20 ms tick for every relay of the process. Owned by the bridge, as a context manager."""

    def __init__(self) -> None:
        self._relays: set[Relay] = set()
        self._handle: asyncio.TimerHandle | None = None
        self._next = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def add(self, relay: "Relay") -> None:
        self._relays.add(relay)
        if self._handle is None:
            loop = asyncio.get_running_loop()
            self._next = loop.time() + PACKET_TIME
            self._handle = loop.call_at(self._next, self._tick)

    def remove(self, relay: "Relay") -> None:
        self._relays.discard(relay)

    def _tick(self) -> None:
        if not self._relays:
            self._handle = None
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        for relay in tuple(self._relays):
            relay.tick(now)
        # A late tick is not made up for: relays reckon with the time, not with the number of ticks.
        self._next = max(self._next + PACKET_TIME, now)
        self._handle = loop.call_at(self._next, self._tick)


class Relay:
    """One call's voice: both ways from `open` to `close`.

    Before, it keeps the first words of the side that may speak already. On an incoming call that is the PBX, whose
    prompt begins while Meta still confirms; on an `outbound` one the user, whose hello can overtake the ACCEPTED.
    The PBX of an outbound call is not heard before.
    """

    def __init__(
        self,
        peer: Peer,
        socket: MediaSocket,
        clock: MediaClock,
        *,
        opus: int = OPUS,
        telephone_event: int | None = TELEPHONE_EVENT,
        on_digit: Callable[[str], None] | None = None,
        outbound: bool = False,
    ) -> None:
        self.playout = Playout()
        self.first_packet_at: float | None = None
        """Loop time of the first packet from Meta, s."""
        self._peer, self._socket, self._clock = peer, socket, clock
        self._opus, self._telephone_event = opus, telephone_event
        self._on_digit = on_digit
        self._digits_in = DigitReceiver()
        self._time = asyncio.get_running_loop().time
        # towards Meta
        self._opened = False
        self._held: deque[bytes] = deque(maxlen=0 if outbound else MAX_HELD)
        self._early: deque[RtpPacket] | None = deque(maxlen=MAX_EARLY + 1) if outbound else None
        self._sequence = secrets.randbits(15)
        self._timestamp = secrets.randbits(32)
        self._last_sent = 0.0
        self._digits_out: deque[tuple[str, int]] = deque(maxlen=MAX_DIGITS_WAITING)
        self._digit_payloads: deque[bytes] = deque()
        self._digit_timestamp = 0
        self._next_digit = 0.0
        self._next_report = 0.0
        # towards Asterisk
        self._next_status = 0.0
        self._sent_at_status = 0
        socket.on_frame = self._frame_from_asterisk
        socket.on_event = self._event_from_asterisk
        peer.on_rtp = self._packet_from_meta
        clock.add(self)

    def open(self) -> None:
        """The call is accepted: send what was held, then everything as it comes.

        What was held is late by the time Meta took; pauses in it are left out, so that the delay
        is made good where it is not heard.
        """
        now = self._time()
        self._opened = True
        self._next_report = now
        held = [frame for frame in self._held if len(frame) > QUIET_BYTES]
        self._held.clear()
        for frame in held or [SILENCE]:
            self._send(frame, now)
        early, self._early = self._early, None
        if early and len(early) <= MAX_EARLY:
            for packet in early:
                self._relay_packet(packet, now)

    def close(self) -> None:
        self._clock.remove(self)
        self._peer.on_rtp = None
        self._socket.on_frame = self._socket.on_event = None

    def send_digit(self, digit: str, duration_ms: int) -> None:
        """Queue a DTMF digit towards the WhatsApp user."""
        if self._telephone_event is None:
            logger.info("digit %r not sent: the user's client takes none", digit)
        elif digit.upper() in DIGITS and len(digit) == 1:
            self._digits_out.append((digit, duration_ms))

    def tick(self, now: float) -> None:
        """Do what is due without a packet; called every 20 ms."""
        if self._opened:
            if self._digit_payloads or (self._digits_out and now >= self._next_digit):
                self._send_digit_packet(now)
            elif now - self._last_sent >= QUIET_TIME:
                self._send(SILENCE, now)
            if now >= self._next_report:
                self._next_report = now + REPORT_INTERVAL
                self._send_report()
        if now >= self._next_status and self.playout.sent:
            self._next_status = now + STATUS_INTERVAL
            self._sent_at_status = self.playout.sent
            self._socket.send_command("GET_STATUS")

    # Meta -> Asterisk

    def _packet_from_meta(self, data: bytes) -> None:
        try:
            packet = RtpPacket.parse(data)
        except RtpError as error:
            logger.debug("packet from Meta's relay dropped: %s", error)
            return
        now = self._time()
        if self._early is None:
            self._relay_packet(packet, now)
        elif packet.payload_type == self._opus and (self._early or len(packet.payload) > QUIET_BYTES):
            self._early.append(packet)

    def _relay_packet(self, packet: RtpPacket, now: float) -> None:
        if packet.payload_type == self._opus:
            if self.first_packet_at is None:
                self.first_packet_at = now
            for frame in self.playout.push(packet, now):
                self._socket.send_frame(frame)
        elif packet.payload_type == self._telephone_event:
            for frame in self.playout.push(packet._replace(payload=b""), now):
                self._socket.send_frame(frame)
            digit = self._digits_in.push(packet)
            if digit is not None and self._on_digit is not None:
                self._on_digit(digit)

    # Asterisk -> Meta

    def _frame_from_asterisk(self, frame: bytes) -> None:
        if not self._opened:
            self._held.append(frame)
        elif not self._digit_payloads:
            self._send(frame, self._time())

    def _event_from_asterisk(self, event: dict[str, Any]) -> None:
        match event.get("event"):
            case "DTMF_END":
                self.send_digit(str(event.get("digit", "")), int(event.get("duration_ms") or 100))
            case "STATUS":
                self.playout.observe(int(event.get("queue_length") or 0), self.playout.sent - self._sent_at_status)
            case "MEDIA_XOFF":
                logger.warning("Asterisk's media queue is full: it does not play what the user says")

    def _send(self, payload: bytes, now: float) -> None:
        resumed = now - self._last_sent >= QUIET_TIME
        self._advance(now, resumed)
        peer = self._peer
        peer.send(rtp_bytes(self._opus, resumed, self._sequence, self._timestamp, peer.ssrc, payload))

    def _advance(self, now: float, resumed: bool) -> None:
        """Step sequence and timestamp; after a pause the timestamp moves on by the time that went by."""
        frames = 1
        if resumed and self._last_sent:
            frames = max(1, round((now - self._last_sent) / PACKET_TIME))
        self._sequence = self._sequence + 1 & 0xFFFF
        self._timestamp = self._timestamp + frames * SAMPLES_PER_FRAME & 0xFFFF_FFFF
        self._last_sent = now

    def _send_digit_packet(self, now: float) -> None:
        first = not self._digit_payloads
        if first:
            digit, duration_ms = self._digits_out.popleft()
            self._digit_payloads.extend(digit_payloads(digit, duration_ms))
        self._advance(now, resumed=False)
        if first:
            self._digit_timestamp = self._timestamp
        assert self._telephone_event is not None
        self._peer.send(
            RtpPacket(
                self._telephone_event,
                first,
                self._sequence,
                self._digit_timestamp,
                self._peer.ssrc,
                self._digit_payloads.popleft(),
            ).serialize()
        )
        if not self._digit_payloads:
            self._next_digit = now + DIGIT_PAUSE

    def _send_report(self) -> None:
        """Send a sender report (RFC 3550 §6.4.1) with our CNAME (§6.5.1)."""
        now = time.time() + _NTP_EPOCH
        seconds = int(now)
        report = struct.pack(
            "!BBHLLLLLL",
            0x80,
            200,
            6,
            self._peer.ssrc,
            seconds & 0xFFFF_FFFF,
            int((now - seconds) * 2**32),
            self._timestamp,
            self._peer.packets_sent & 0xFFFF_FFFF,
            self._peer.octets_sent & 0xFFFF_FFFF,
        )
        cname = b"asterisk-whatsapp"
        item = bytes((1, len(cname))) + cname
        item += b"\0" * (4 - len(item) % 4)
        description = struct.pack("!BBHL", 0x81, 202, 1 + len(item) // 4, self._peer.ssrc) + item
        self._peer.send_rtcp(report + description)
