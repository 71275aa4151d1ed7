"""The WebRTC peer towards Meta's relay.

ICE is aioice's, DTLS and the SRTP keys are aiortc's; RTP is taken where the datagram arrives and never enters
aiortc's receiver, jitter buffer or decoder. Both libraries offer no public way to do this (aiortc 1.16,
aioice 0.13, which the project pins): `asyncio` transports do, by `set_protocol`.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import cast

import aioice
import pylibsrtp
from aioice.ice import StunProtocol
from aiortc import RTCCertificate
from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport
from aiortc.rtcicetransport import RTCIceTransport

from whatsapp_bridge.rtc.rtp import is_rtcp
from whatsapp_bridge.rtc.sdp import LocalDescription, RemoteDescription

logger = logging.getLogger(__name__)

#: ICE and DTLS together; Meta's relay answers within a second or never.
CONNECT_TIMEOUT = 15.0
CLOSE_TIMEOUT = 5.0


class PeerError(Exception):
    """No media path to Meta; the message says at which step it failed and what to look at."""


class IceConnection(aioice.Connection):
    """An ICE agent on one chosen local address (aioice itself takes all but loopback)."""

    def __init__(self, address: str) -> None:
        super().__init__(ice_controlling=True)
        self._address = address

    async def gather_candidates(self) -> None:
        self._local_candidates_start = True
        self._local_candidates += await self.get_component_candidates(component=1, addresses=[self._address])
        if not self._local_candidates:
            raise PeerError(f"cannot open a UDP port on {self._address}: check media_address")
        self._local_candidates_end = True


class _DtlsOverIce:
    """What aiortc's DTLS transport asks of an ICE transport."""

    role = "controlling"

    def __init__(self, connection: IceConnection) -> None:
        self._recv = connection.recv
        self._send = connection.send


class _MediaProtocol(asyncio.DatagramProtocol):
    """Takes SRTP and SRTCP out of the datagram stream (RFC 7983 §7) and leaves the rest to aioice."""

    def __init__(self, inner: StunProtocol, on_media: Callable[[bytes], None]) -> None:
        self._inner = inner
        self._on_media = on_media

    def datagram_received(self, data: bytes, addr: tuple[object, ...]) -> None:
        if data and 128 <= data[0] <= 191:
            self._on_media(data)
        else:
            self._inner.datagram_received(data, addr)

    def error_received(self, exc: Exception) -> None:
        self._inner.error_received(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)


class Peer:
    """One call's media path to Meta: gather, connect, then `send` and `on_rtp` until `closed`."""

    def __init__(self, address: str, public_address: str | None = None) -> None:
        self.on_rtp: Callable[[bytes], None] | None = None
        """Called with each decrypted RTP packet, in the event loop."""
        self.closed = asyncio.Event()
        """Set when the media path is gone: consent expired (RFC 7675), Meta closed DTLS, or `close()`."""
        self.ssrc = secrets.randbits(32) or 1
        self.packets_received = 0
        self.packets_sent = 0
        self.octets_sent = 0
        self.packets_refused = 0
        self._public_address = public_address
        self._ice = IceConnection(address)
        self._certificate: RTCCertificate = RTCCertificate.generateCertificate()
        self._dtls = RTCDtlsTransport(cast("RTCIceTransport", _DtlsOverIce(self._ice)), [self._certificate])
        self._rx: pylibsrtp.Session | None = None
        self._tx: pylibsrtp.Session | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._remote_address: tuple[str, int] | None = None
        self._monitor: asyncio.Task[None] | None = None

    async def gather(self) -> LocalDescription:
        """Open the UDP port and describe this side. Raises PeerError."""
        await self._ice.gather_candidates()
        candidate = self._ice.local_candidates[0]
        fingerprint = next(f for f in self._certificate.getFingerprints() if f.algorithm == "sha-256")
        return LocalDescription(
            address=self._public_address or candidate.host,
            port=candidate.port,
            ice_ufrag=self._ice.local_username,
            ice_pwd=self._ice.local_password,
            fingerprint=fingerprint.value,
            ssrc=self.ssrc,
        )

    async def connect(self, remote: RemoteDescription) -> None:
        """Bring ICE and DTLS up. Raises PeerError when there is no path within CONNECT_TIMEOUT."""
        stage = "ICE"
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                self._ice.remote_is_lite = remote.ice_lite
                self._ice.remote_username = remote.ice_ufrag
                self._ice.remote_password = remote.ice_pwd
                for candidate in remote.candidates:
                    await self._ice.add_remote_candidate(candidate)
                await self._ice.add_remote_candidate(None)
                await self._ice.connect()
                stage = "DTLS"
                # Meta offers actpass; we are the client unless Meta's answer claims that role.
                self._dtls._set_role("server" if remote.setup == "active" else "client")
                await self._dtls.start(
                    RTCDtlsParameters(fingerprints=[RTCDtlsFingerprint("sha-256", remote.fingerprint)])
                )
        except (ConnectionError, TimeoutError, ValueError) as error:
            raise PeerError(
                f"{stage} with Meta's relay failed: {error or 'no answer'}; "
                "check that UDP to and from the relay is open"
            ) from error
        if self._dtls.state != "connected":
            raise PeerError("DTLS with Meta's relay failed: handshake refused or fingerprint mismatch")
        self._take_over_media()
        self._monitor = asyncio.create_task(self._watch(), name="peer-monitor")

    def send(self, packet: bytes) -> None:
        """Encrypt and send an RTP packet. A packet that cannot be sent is lost, as UDP's are."""
        if self._tx is None or self._transport is None or self._transport.is_closing():
            return
        self._transport.sendto(self._tx.protect(packet), self._remote_address)
        self.packets_sent += 1
        self.octets_sent += len(packet) - 12

    def send_rtcp(self, packet: bytes) -> None:
        """Encrypt and send an RTCP packet."""
        if self._tx is None or self._transport is None or self._transport.is_closing():
            return
        self._transport.sendto(self._tx.protect_rtcp(packet), self._remote_address)

    async def close(self) -> None:
        """Give socket, tasks and keys back. Safe to call at any time, more than once."""
        if self._monitor is not None:
            self._monitor.cancel()
            await asyncio.gather(self._monitor, return_exceptions=True)
            self._monitor = None
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._dtls.stop()
                await self._ice.close()
        except TimeoutError:
            logger.warning("closing the media path to Meta took longer than %g s", CLOSE_TIMEOUT)
        self.on_rtp = self._rx = self._tx = self._transport = None
        self.closed.set()

    def _take_over_media(self) -> None:
        pair = self._ice._nominated[1]
        self._rx, self._tx = self._dtls._rx_srtp, self._dtls._tx_srtp
        self._transport = pair.protocol.transport
        self._remote_address = pair.remote_addr
        self._transport.set_protocol(_MediaProtocol(pair.protocol, self._media_received))

    def _media_received(self, data: bytes) -> None:
        rx, on_rtp = self._rx, self.on_rtp
        if rx is None or is_rtcp(data):
            return
        try:
            packet = rx.unprotect(data)
        except (pylibsrtp.Error, ValueError):
            # Replayed, forged or from before a key change: SRTP drops it silently (RFC 3711 §3.3).
            self.packets_refused += 1
            return
        self.packets_received += 1
        if on_rtp is not None:
            on_rtp(packet)

    async def _watch(self) -> None:
        """Wait until either library reports the end of the path."""
        dtls_ended = asyncio.Event()
        self._dtls.on("statechange", dtls_ended.set)
        ice_event = asyncio.ensure_future(self._ice.get_event())
        dtls_event = asyncio.ensure_future(dtls_ended.wait())
        try:
            await asyncio.wait((ice_event, dtls_event), return_when=asyncio.FIRST_COMPLETED)
            self.closed.set()
        finally:
            for waiter in (ice_event, dtls_event):
                waiter.cancel()
            await asyncio.gather(ice_event, dtls_event, return_exceptions=True)
            self._dtls.remove_all_listeners()
