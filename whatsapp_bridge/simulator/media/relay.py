"""Meta's media relay for one call: a UDP socket with ICE-lite, DTLS and SRTP, all within the datagram callback."""

from __future__ import annotations

import asyncio
import logging
import random
import struct
import time
from typing import Any, Literal, Protocol, cast

import pylibsrtp

from ..sdp import BusinessMedia
from . import rtp
from .counters import MediaCounters
from .dtls import Dtls, Identity
from .faults import OutboundFaults
from .ice import Address, IceLite

_log = logging.getLogger(__name__)
_RTCP_NAMES = {200: "SR", 201: "RR", 202: "SDES", 203: "BYE", 204: "APP", 205: "RTPFB", 206: "PSFB"}
_REPLAY = "replay check failed (bad index)"
"libsrtp has had a packet of this number."
_REPORT_SECONDS = 5.0
_NTP_OFFSET = 2_208_988_800
_MAX_SSRCS = 32


class RelayListener(Protocol):
    """Who is told what the relay sees. Called from the datagram callback: quick, and without raising."""

    def transport_changed(self) -> None:
        """ICE nomination or DTLS state changed."""

    def first_packet(self) -> None:
        """The business's first RTP packet was decrypted."""

    def audio(self, sequence: int, timestamp: int, payload: bytes, now: float) -> None:
        """An Opus packet; `now` is monotonic seconds."""

    def digit(self) -> None:
        """A telephone event completed."""

    def counted(self) -> None:
        """The number of received packets reached `notify_at`."""


class Relay(asyncio.DatagramProtocol):
    """One call's relay. Make it with `open`, give it back with `close`."""

    def __init__(self, listener: RelayListener) -> None:
        self.ice = IceLite()
        self.identity = Identity.new()
        self.dtls = Dtls(self.identity, self._send_raw, self._dtls_changed)
        self.counters = MediaCounters()
        self.events = rtp.EventReader()
        self.faults = OutboundFaults(self._send_packet)
        self.ssrc = random.getrandbits(32)
        self.timestamp = random.getrandbits(32)
        self.address: Address = ("", 0)
        self.notify_at: int | None = None
        self._sequence = random.getrandbits(16)
        self._listener = listener
        self._transport: asyncio.DatagramTransport | None = None
        self._closed: asyncio.Future[None] | None = None
        self._fingerprint: str | None = None
        self._role: Literal["server", "client"] = "server"
        self._opus_type = -1
        self._dtmf_type: int | None = None
        self._remote_ssrc: int | None = None
        self._report_due = 0.0
        self._sent_audio = 0
        self._sent_octets = 0

    @classmethod
    async def open(cls, address: str, listener: RelayListener) -> Relay:
        """Binds a free UDP port of `address`."""
        loop = asyncio.get_running_loop()
        _, relay = await loop.create_datagram_endpoint(lambda: cls(listener), local_addr=(address, 0))
        return relay

    def set_business(self, business: BusinessMedia, role: Literal["server", "client"]) -> None:
        """Takes the business's SDP: checks and the DTLS handshake can go ahead. `role` is the relay's in DTLS."""
        self._fingerprint, self._role = business.fingerprint, role
        self._opus_type = business.opus_type
        self._dtmf_type = business.dtmf_type
        self.ice.remote_ufrag = business.ice_ufrag
        self._start_dtls()

    @property
    def ready(self) -> bool:
        """Media can be sent."""
        return self.dtls.srtp_out is not None and self.ice.nominated is not None

    def send_audio(self, payload: bytes) -> None:
        """Sends an Opus frame at the current timestamp."""
        self._sent_audio += 1
        self._sent_octets += len(payload)
        self._pack(self._opus_type, payload, self.timestamp, False)

    def send_event(self, payload: bytes, timestamp: int, first: bool) -> None:
        """Sends a telephone-event packet of the event that began at `timestamp`."""
        if self._dtmf_type is not None:
            self._pack(self._dtmf_type, payload, timestamp, first)

    @property
    def can_send_events(self) -> bool:
        """The business's SDP has telephone-event."""
        return self._dtmf_type is not None

    def advance(self, now: float) -> None:
        """A frame's time has passed; sends what the faults held, and a sender report every 5 s."""
        self.timestamp = (self.timestamp + rtp.FRAME_TICKS) & 0xFFFFFFFF
        if self.faults.active:
            self.faults.advance(now)
        if now >= self._report_due:
            if self._report_due and self.ready:
                self._send_report()
            self._report_due = now + _REPORT_SECONDS

    async def close(self) -> None:
        """Gives socket, keys and timers back."""
        self.faults.clear()
        self.dtls.close()
        if self._transport is not None and self._closed is not None:
            self._transport.close()
            async with asyncio.timeout(5):
                await self._closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio's own datagram transport is no subclass of DatagramTransport before Python 3.12.
        self._transport = cast("asyncio.DatagramTransport", transport)
        self._closed = asyncio.get_running_loop().create_future()
        host, port = transport.get_extra_info("sockname")[:2]
        self.address = (host, port)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)

    def error_received(self, exc: Exception) -> None:
        _log.debug("relay %s: %s", self.address, exc)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if not data:
            return
        first = data[0]
        if 127 < first < 192:
            self._media(data, addr)
        elif first < 4:
            self._stun(data, (addr[0], addr[1]))
        elif 19 < first < 64 and self._known(addr):
            self.dtls.feed(data)

    def _known(self, addr: tuple[Any, ...]) -> bool:
        if addr in self.ice.validated or (addr[0], addr[1]) in self.ice.validated:
            return True
        self.counters.unknown_address += 1
        return False

    def _stun(self, data: bytes, address: Address) -> None:
        before = self.ice.nominated
        reply = self.ice.answer(data, address)
        if reply is not None and self._transport is not None:
            self._transport.sendto(reply, address)
        if self.ice.nominated == before:
            return
        self._start_dtls()
        self._listener.transport_changed()

    def _start_dtls(self) -> None:
        # A server can wait for the ClientHello; a client has nowhere to send one before the nomination.
        if self._fingerprint is not None and (self._role == "server" or self.ice.nominated is not None):
            self.dtls.start(self._role, self._fingerprint)

    def _media(self, data: bytes, addr: tuple[Any, ...]) -> None:
        keys = self.dtls.srtp_in
        counters = self.counters
        if keys is None or not self._known(addr):
            counters.undecryptable += 1
            return
        now = time.monotonic()
        rtcp = len(data) > 1 and 192 <= data[1] <= 223
        try:
            if rtcp:
                self._rtcp(keys.unprotect_rtcp(data))
                counters.last_packet_at = now
                return
            packet = rtp.unpack(keys.unprotect(data))
        except (pylibsrtp.Error, ValueError) as error:
            if _REPLAY in str(error):
                counters.duplicates += 1
            else:
                counters.undecryptable += 1
            _log.debug("relay %s: packet ignored: %s", self.address, error)
            return
        counters.packets_in += 1
        counters.bytes_in += len(data)
        counters.last_packet_at = now
        counters.payload_types[packet.payload_type] += 1
        if packet.ssrc in counters.ssrcs or len(counters.ssrcs) < _MAX_SSRCS:
            counters.ssrcs[packet.ssrc] = counters.ssrcs.get(packet.ssrc, 0) + 1
        if self._remote_ssrc is None:
            self._remote_ssrc = packet.ssrc
            self._listener.first_packet()
        if counters.packets_in == self.notify_at:
            self._listener.counted()
        if packet.ssrc != self._remote_ssrc:
            # Meta sends on one fixed SSRC: what a second one carries would only garble the first.
            counters.second_ssrc += 1
            return
        step = counters.sequence(packet.sequence)
        if step == 0:
            return
        if packet.payload_type == self._opus_type:
            counters.audio(packet.timestamp, step, now)
            self._listener.audio(packet.sequence, packet.timestamp, packet.payload, now)
        elif packet.payload_type == self._dtmf_type:
            counters.last_audio_at = now
            if self.events.feed(packet.timestamp, packet.payload, time.time()):
                self._listener.digit()

    def _rtcp(self, data: bytes) -> None:
        position = 0
        while position + 4 <= len(data):
            kind = data[position + 1]
            self.counters.rtcp_in[_RTCP_NAMES.get(kind, "other")] += 1
            position += 4 + 4 * int.from_bytes(data[position + 2 : position + 4])

    def _pack(self, payload_type: int, payload: bytes, timestamp: int, marker: bool) -> None:
        packet = rtp.pack(payload_type, self._sequence, timestamp, self.ssrc, payload, marker)
        self._sequence = (self._sequence + 1) & 0xFFFF
        if self.faults.active:
            self.faults.send(packet)
        else:
            self._send_packet(packet)

    def _send_packet(self, packet: bytes) -> None:
        keys, address, transport = self.dtls.srtp_out, self.ice.nominated, self._transport
        if keys is None or address is None or transport is None:
            return
        transport.sendto(keys.protect(packet), address)
        self.counters.packets_out += 1
        self.counters.bytes_out += len(packet)

    def _send_report(self) -> None:
        seconds = time.time() + _NTP_OFFSET
        ntp = int(seconds) << 32 | int(seconds % 1 * 2**32)
        report = struct.pack(
            "!BBHIQIII", 0x80, 200, 6, self.ssrc, ntp, self.timestamp, self._sent_audio, self._sent_octets
        )
        name = b"WhatsAppAudioStream1"
        chunk = struct.pack("!IBB", self.ssrc, 1, len(name)) + name
        chunk += bytes(4 - len(chunk) % 4)
        report += struct.pack("!BBH", 0x81, 202, len(chunk) // 4) + chunk
        if self.dtls.srtp_out is not None and self.ice.nominated is not None and self._transport is not None:
            self._transport.sendto(self.dtls.srtp_out.protect_rtcp(report), self.ice.nominated)
            self.counters.rtcp_out += 1

    def _send_raw(self, datagram: bytes) -> None:
        if self._transport is not None and self.ice.nominated is not None:
            self._transport.sendto(datagram, self.ice.nominated)
        elif self._transport is not None and self.ice.validated:
            self._transport.sendto(datagram, next(iter(self.ice.validated)))

    def _dtls_changed(self) -> None:
        self._listener.transport_changed()
