"""DTLS-SRTP (RFC 5764) without tasks: datagrams are fed in, datagrams come out through a callback."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pylibsrtp
from aiortc.rtcdtlstransport import SRTP_PROFILES, SRTPProtectionProfile, certificate_digest, generate_certificate
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

_log = logging.getLogger(__name__)
_CIPHERS = b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-GCM-SHA256"
_MAX_HELD = 8

DtlsState = Literal["new", "connecting", "connected", "failed", "closed"]


@dataclass(frozen=True)
class Identity:
    """A certificate with its key."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def new(cls) -> Identity:
        """A fresh P-256 certificate, as WebRTC has one for each connection."""
        key = ec.generate_private_key(ec.SECP256R1())
        return cls(key, generate_certificate(key))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, upper-case hex with colons."""
        return certificate_digest(self.certificate, "sha-256")


class Dtls:
    """One DTLS association. `send` gets datagrams to transmit, `changed` is called at each change of `state`.

    Datagrams that come before `start` are kept, so that an early ClientHello costs no retransmission.
    """

    def __init__(self, identity: Identity, send: Callable[[bytes], None], changed: Callable[[], None]) -> None:
        self.state: DtlsState = "new"
        self.failure: str | None = None
        self.profile: str | None = None
        self.role: str | None = None
        self.srtp_in: pylibsrtp.Session | None = None
        self.srtp_out: pylibsrtp.Session | None = None
        self._identity = identity
        self._send = send
        self._changed = changed
        self._ssl: SSL.Connection | None = None
        self._fingerprint = ""
        self._timer: asyncio.TimerHandle | None = None
        self._held: list[bytes] = []

    def start(self, role: Literal["server", "client"], fingerprint: str) -> None:
        """Begins the handshake with the peer whose certificate has this SHA-256 fingerprint."""
        if self.state != "new":
            return
        self.role = role
        self._fingerprint = fingerprint.upper()
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_options(SSL.OP_NO_TICKET)
        # The chain is self-signed by design; the fingerprint is compared once the handshake is through.
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        context.use_certificate(self._identity.certificate)
        context.use_privatekey(self._identity.key)
        context.set_cipher_list(_CIPHERS)
        context.set_tlsext_use_srtp(b":".join(profile.openssl_profile for profile in SRTP_PROFILES))
        self._ssl = SSL.Connection(context)
        if role == "server":
            self._ssl.set_accept_state()
        else:
            self._ssl.set_connect_state()
        self._become("connecting")
        held, self._held = self._held, []
        self._step()
        for datagram in held:
            self.feed(datagram)

    def feed(self, datagram: bytes) -> None:
        """Takes one DTLS datagram from the peer."""
        if self._ssl is None:
            if self.state == "new" and len(self._held) < _MAX_HELD:
                self._held.append(datagram)
            return
        if self.state not in ("connecting", "connected"):
            return
        self._ssl.bio_write(datagram)
        if self.state == "connecting":
            self._step()
            return
        try:
            self._ssl.recv(2048)
        except SSL.ZeroReturnError:
            self._become("closed")
        except SSL.Error as error:
            _log.debug("DTLS record ignored: %r", error)
        self._flush()

    def close(self) -> None:
        """Forgets keys and timers; nothing is sent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.state != "failed":
            self.state = "closed"
        self._ssl = None
        self._held.clear()

    def _step(self) -> None:
        assert self._ssl is not None
        try:
            self._ssl.do_handshake()
        except SSL.WantReadError:
            self._flush()
            self._arm()
        except SSL.Error as error:
            self._flush()
            self._fail(f"handshake: {error!r}")
        else:
            self._flush()
            self._finish()

    def _finish(self) -> None:
        assert self._ssl is not None
        certificate = self._ssl.get_peer_certificate(as_cryptography=True)
        if certificate is None:
            self._fail("the peer showed no certificate")
            return
        digest = hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest().upper()
        if digest != self._fingerprint.replace(":", ""):
            self._fail("the peer's certificate does not have the fingerprint of its SDP")
            return
        chosen = self._ssl.get_selected_srtp_profile()
        profile = next((each for each in SRTP_PROFILES if each.openssl_profile == chosen), None)
        if profile is None:
            self._fail("no SRTP profile in common")
            return
        self.profile = profile.openssl_profile.decode()
        material = self._ssl.export_keying_material(
            b"EXTRACTOR-dtls_srtp", 2 * (profile.key_length + profile.salt_length)
        )
        client, server = profile.get_key_and_salt(material, 0), profile.get_key_and_salt(material, 1)
        ours, theirs = (server, client) if self.role == "server" else (client, server)
        self.srtp_in = _session(profile, theirs, pylibsrtp.Policy.SSRC_ANY_INBOUND)
        self.srtp_out = _session(profile, ours, pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
        self._become("connected")

    def _arm(self) -> None:
        assert self._ssl is not None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wait = self._ssl.DTLSv1_get_timeout()
        if wait is not None:
            self._timer = asyncio.get_running_loop().call_later(max(wait, 0.001), self._timed_out)

    def _timed_out(self) -> None:
        self._timer = None
        if self._ssl is None or self.state != "connecting":
            return
        try:
            self._ssl.DTLSv1_handle_timeout()
        except SSL.Error as error:
            self._fail(f"handshake timed out: {error!r}")
            return
        self._flush()
        self._arm()

    def _flush(self) -> None:
        assert self._ssl is not None
        while True:
            try:
                datagram = self._ssl.bio_read(1500)
            except SSL.WantReadError:
                return
            self._send(datagram)

    def _fail(self, why: str) -> None:
        self.failure = why
        _log.info("DTLS failed: %s", why)
        self._become("failed")

    def _become(self, state: DtlsState) -> None:
        self.state = state
        if state != "connecting" and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._changed()


def _session(profile: SRTPProtectionProfile, key: bytes, direction: int) -> pylibsrtp.Session:
    policy = pylibsrtp.Policy(key=key, ssrc_type=direction, srtp_profile=profile.libsrtp_profile)
    policy.allow_repeat_tx = True
    policy.window_size = 1024
    return pylibsrtp.Session(policy)
