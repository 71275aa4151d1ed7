"""A business's media side of which each packet is in the test's hands: full ICE agent, DTLS, SRTP."""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any, Literal, cast

import pylibsrtp
from aioice import stun

from whatsapp_bridge.simulator.media import rtp
from whatsapp_bridge.simulator.media.dtls import Dtls, Identity

SILENCE = b"\x48\x0b\xe4\xc1\x36\xec\xc5\x80"
"An Opus frame of 20 ms."


class RawPeer(asyncio.DatagramProtocol):
    """Answers an offer; `connect` brings ICE and DTLS up; `send` sends RTP."""

    def __init__(self, offer: str | None, *, setup: Literal["active", "passive"] = "active") -> None:
        self.ufrag, self.pwd = "pEeR", "".join(random.choices("abcdefghijklmnop0123456789", k=24))
        self.identity = Identity.new()
        self.setup = setup
        self.ssrc = random.getrandbits(32)
        self.sequence = 1000
        self.timestamp = 5000
        self.packets: list[rtp.Packet] = []
        self.stun_replies: list[stun.Message] = []
        self.role_attribute = "ICE-CONTROLLING"
        self.keeps_packets = True
        self.received = 0
        self.replays = 0
        self._dtls = Dtls(self.identity, self._send, self._changed)
        self._transport: asyncio.DatagramTransport | None = None
        self._arrived = asyncio.Event()
        self._remote_ufrag = self._remote_pwd = self._remote_fingerprint = ""
        self.remote = ("", 0)
        if offer is not None:
            self.learn(offer)

    def learn(self, sdp: str) -> None:
        """Takes the relay's SDP; its `setup` decides the part in DTLS unless it is actpass."""
        self._remote_ufrag = _find("ice-ufrag", sdp)
        self._remote_pwd = _find("ice-pwd", sdp)
        self._remote_fingerprint = _find("fingerprint", sdp).removeprefix("sha-256 ")
        candidate = _find("candidate", sdp).split()
        self.remote = (candidate[4], int(candidate[5]))
        match _find("setup", sdp):
            case "active":
                self.setup = "passive"
            case "passive":
                self.setup = "active"

    def answer(self) -> str:
        """The SDP of a business, as Meta takes it."""
        return "".join(
            f"{line}\r\n"
            for line in (
                "v=0",
                "o=- 1 2 IN IP4 127.0.0.1",
                "s=-",
                "t=0 0",
                "a=group:BUNDLE audio",
                "m=audio 9 UDP/TLS/RTP/SAVPF 111 126",
                "c=IN IP4 0.0.0.0",
                f"a=ice-ufrag:{self.ufrag}",
                f"a=ice-pwd:{self.pwd}",
                f"a=fingerprint:sha-256 {self.identity.fingerprint}",
                f"a=setup:{self.setup}",
                "a=mid:audio",
                "a=sendrecv",
                "a=rtcp-mux",
                "a=rtpmap:111 opus/48000/2",
                "a=rtpmap:126 telephone-event/8000",
                "a=ptime:20",
                f"a=ssrc:{self.ssrc} cname:peer",
            )
        )

    async def open(self) -> None:
        """Binds a port."""
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))

    async def connect(self, timeout: float = 5.0) -> None:
        """ICE with nomination, then DTLS."""
        if self._transport is None:
            await self.open()
        reply = await self.check(nominate=True)
        assert reply.message_class == stun.Class.RESPONSE, reply
        self._dtls.start("client" if self.setup == "active" else "server", self._remote_fingerprint)
        await self.until(lambda: self._dtls.state == "connected", timeout)

    async def check(
        self, *, nominate: bool = False, role: str | None = None, pwd: str | None = None, leave_out: str = ""
    ) -> stun.Message:
        """One connectivity check; its reply. Raises TimeoutError if there is none within a second."""
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        request.attributes["USERNAME"] = f"{self._remote_ufrag}:{self.ufrag}"
        request.attributes["PRIORITY"] = 2130706431
        request.attributes[role or self.role_attribute] = 12345678
        if nominate:
            request.attributes["USE-CANDIDATE"] = None
        request.attributes.pop(leave_out, None)
        request.add_message_integrity((pwd or self._remote_pwd).encode())
        if leave_out in ("FINGERPRINT", "MESSAGE-INTEGRITY"):
            del request.attributes[leave_out]
            if leave_out == "MESSAGE-INTEGRITY":
                request.add_fingerprint()
        seen = len(self.stun_replies)
        self._send(bytes(request))
        await self.until(lambda: len(self.stun_replies) > seen, 1.0)
        return self.stun_replies[-1]

    async def until(self, condition: Any, timeout: float) -> None:
        """Waits for something that a datagram brings."""
        async with asyncio.timeout(timeout):
            while not condition():
                self._arrived.clear()
                await self._arrived.wait()

    def send(
        self,
        payload: bytes = SILENCE,
        *,
        payload_type: int = 111,
        ssrc: int | None = None,
        timestamp: int | None = None,
        marker: bool = False,
    ) -> None:
        """One RTP packet; audio moves the timestamp on by 20 ms."""
        packet = rtp.pack(
            payload_type,
            self.sequence,
            self.timestamp if timestamp is None else timestamp,
            self.ssrc if ssrc is None else ssrc,
            payload,
            marker,
        )
        self.sequence = (self.sequence + 1) & 0xFFFF
        if payload_type == 111:
            self.timestamp += 960
        assert self._dtls.srtp_out is not None
        self._send(self._dtls.srtp_out.protect(packet))

    def send_rtcp(self, packet: bytes) -> None:
        """One RTCP packet."""
        assert self._dtls.srtp_out is not None
        self._send(self._dtls.srtp_out.protect_rtcp(packet))

    async def close(self) -> None:
        """Gives the socket back."""
        self._dtls.close()
        if self._transport is not None:
            self._transport.close()
            await asyncio.sleep(0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if data[0] < 4:
            self.stun_replies.append(stun.parse_message(data))
        elif data[0] < 64:
            self._dtls.feed(data)
        elif self._dtls.srtp_in is not None and not 192 <= data[1] <= 223:
            self.received += 1
            if self.keeps_packets:
                try:
                    self.packets.append(rtp.unpack(self._dtls.srtp_in.unprotect(data)))
                except pylibsrtp.Error as error:
                    if "replay" in str(error):
                        self.replays += 1
                        return
                    raise AssertionError("the relay's packet cannot be decrypted") from error
        if not self._arrived.is_set():
            self._arrived.set()

    def _send(self, datagram: bytes) -> None:
        assert self._transport is not None
        self._transport.sendto(datagram, self.remote)

    def _changed(self) -> None:
        self._arrived.set()


def _find(name: str, sdp: str) -> str:
    match = re.search(rf"^a={name}:(.*?)\r?$", sdp, re.MULTILINE)
    assert match is not None, f"no a={name} in the offer"
    return match.group(1)
