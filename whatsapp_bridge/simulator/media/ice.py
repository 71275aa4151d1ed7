"""An ICE-lite agent (RFC 8445 section 2.5): answers connectivity checks, never sends one, is always controlled."""

from __future__ import annotations

import base64
import logging
import secrets
import string
from collections import Counter

from aioice import stun

_log = logging.getLogger(__name__)
_UFRAG_LETTERS = string.ascii_letters + string.digits
MAX_ADDRESSES = 16

Address = tuple[str, int]


class IceLite:
    """The agent of one call. `on_nominated` is told each new address the peer nominates."""

    def __init__(self) -> None:
        self.ufrag = "".join(secrets.choice(_UFRAG_LETTERS) for _ in range(16))
        # 16 bytes of base64 end in "==", as Meta's passwords do, though "=" is no ice-char (RFC 8839).
        self.pwd = base64.b64encode(secrets.token_bytes(16)).decode()
        self.remote_ufrag: str | None = None
        self.nominated: Address | None = None
        self.validated: set[Address] = set()
        self.answers_role_conflict = True
        self.counts: Counter[str] = Counter()

    def answer(self, datagram: bytes, address: Address) -> bytes | None:
        """The reply to a STUN datagram, or None if it has to be ignored."""
        try:
            message = stun.parse_message(datagram)
        except (ValueError, UnicodeDecodeError, IndexError) as error:
            self.counts["malformed"] += 1
            _log.debug("STUN from %s ignored: %s", address, error)
            return None
        if message.message_class != stun.Class.REQUEST or message.message_method != stun.Method.BINDING:
            return None
        self.counts["requests"] += 1
        attributes = message.attributes
        if "FINGERPRINT" not in attributes:
            self.counts["without_fingerprint"] += 1
            return None
        if "USERNAME" not in attributes or "MESSAGE-INTEGRITY" not in attributes:
            return self._error(message, 400, "Bad Request", signed=False)
        local, _, remote = str(attributes["USERNAME"]).partition(":")
        known = local == self.ufrag and self.remote_ufrag in (None, remote)
        if not known or not message.check_message_integrity(self.pwd.encode()):
            return self._error(message, 401, "Unauthorized", signed=False)
        if "ICE-CONTROLLED" in attributes:
            # RFC 8445 section 7.3.1.1: two controlled agents; a lite one cannot switch, so the peer has to.
            if not self.answers_role_conflict:
                self.counts["ignored_controlled"] += 1
                return None
            return self._error(message, 487, "Role Conflict", signed=True)
        if "ICE-CONTROLLING" not in attributes or "PRIORITY" not in attributes:
            return self._error(message, 400, "Bad Request", signed=True)
        if len(self.validated) < MAX_ADDRESSES:
            self.validated.add(address)
        if "USE-CANDIDATE" in attributes and address in self.validated and self.nominated != address:
            self.counts["nominations"] += 1
            self.nominated = address
        response = stun.Message(
            message_method=stun.Method.BINDING,
            message_class=stun.Class.RESPONSE,
            transaction_id=message.transaction_id,
        )
        response.attributes["XOR-MAPPED-ADDRESS"] = address
        response.add_message_integrity(self.pwd.encode())
        self.counts["responses"] += 1
        return bytes(response)

    def _error(self, request: stun.Message, code: int, reason: str, *, signed: bool) -> bytes:
        self.counts[f"error_{code}"] += 1
        response = stun.Message(
            message_method=stun.Method.BINDING,
            message_class=stun.Class.ERROR,
            transaction_id=request.transaction_id,
        )
        response.attributes["ERROR-CODE"] = (code, reason)
        if signed:
            response.add_message_integrity(self.pwd.encode())
        else:
            response.add_fingerprint()
        return bytes(response)
