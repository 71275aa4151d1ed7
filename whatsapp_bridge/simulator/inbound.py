"""A user calls a business: NEW, RINGING, PRE_ACCEPTED, CONNECTED, ENDED."""

from __future__ import annotations

import logging
import time
from typing import Any

from . import payloads
from .call import Call, State, Surroundings
from .errors import GraphError
from .media.opus import Clip
from .models import PlaceCall
from .offer import MID, relay_sdp
from .payloads import CallFacts
from .sdp import judge

_log = logging.getLogger(__name__)
_RINGING: tuple[State, ...] = ("ringing", "pre_accepted")


class InboundCall(Call):
    """The state machine of a user-initiated call."""

    def __init__(self, around: Surroundings, facts: CallFacts, wanted: PlaceCall) -> None:
        super().__init__(around, facts, wanted.behaviour, wanted.webhooks)
        self._wanted = wanted
        self._held_connect: dict[str, Any] | None = None

    async def ring(self, clip: Clip | None, silence: Clip, address: str) -> None:
        """Opens the relay and tells the business. Raises OSError if there is no port."""
        wanted = self._wanted
        await self.open_media(address, clip, silence, loop=wanted.play.loop, record=wanted.record)
        self.local_sdp = self.behaviour.sdp or self._offer()
        self.state = "ringing"
        value = payloads.connect(
            self.facts, int(time.time()) + self.behaviour.timestamp_offset_s, self.local_sdp, "offer"
        )
        if self.webhook_options.terminate_first:
            self._held_connect = value
        elif not self.webhook_options.lose_connect:
            self.webhook("connect", value)
        self.times["ringing"] = time.time()
        self.start_timer("ring", self.behaviour.ring_s or self.around.timers.ring, lambda: self.end("meta"))
        if self.behaviour.cancel_after_ms is not None:
            self.start_timer("cancel", self.behaviour.cancel_after_ms / 1000, self.cancel)
        self.changed()

    def cancel(self) -> None:
        """The user hangs up, but only if it still rings."""
        if self.state in _RINGING:
            self.end("user")

    def pre_accept(self, session: object) -> None:
        """The business's SDP before its answer: ICE and DTLS come up. Raises GraphError."""
        self._check_ringing("pre_accept")
        self._take_sdp(session)
        self.state = "pre_accepted"
        self.times.setdefault("pre_accepted", time.time())
        self.changed()

    def accept(self, session: object, opaque: str | None, extras: dict[str, Any]) -> None:
        """The business answers. Raises GraphError."""
        self._check_ringing("accept")
        self._take_sdp(session)
        self.opaque, self.extras = opaque, extras
        self.stop_timer("cancel")
        self.connected()

    def reject(self) -> None:
        """The business refuses. Raises GraphError."""
        self._check_ringing("reject")
        self.end("business")

    def tell_end(self, value: dict[str, Any]) -> None:
        super().tell_end(value)
        if self._held_connect is not None:
            self.webhook("connect", self._held_connect)

    def _check_ringing(self, action: str) -> None:
        if self.state in _RINGING:
            return
        if self.state != "ended":
            raise GraphError(100, f"{action}: the call is already in progress")
        how = "failed" if self.ending is not None and self.ending.errors else "completed"
        raise GraphError(100, f"{action}: the call is already {how}")

    def _take_sdp(self, session: object) -> None:
        if not isinstance(session, dict):
            raise GraphError(100, "session is missing or is not an object")
        if session.get("sdp_type") != "answer":
            raise GraphError(100, "session.sdp_type has to be answer")
        sdp = session.get("sdp")
        business = judge(sdp, "answer", self.around.sdp_rules, MID)
        if self.business is not None:
            if sdp != self.business_sdp:
                raise GraphError(100, "session.sdp differs from the one given before for this call")
            return
        self.business, self.business_sdp = business, str(sdp)
        for warning in business.warnings:
            _log.warning("call %s: SDP: %s", self.id[:120], warning)
        self.relay.set_business(business, "client" if business.setup == "passive" else "server")

    def _offer(self) -> str:
        sdp = relay_sdp(self.relay_media)
        if self.behaviour.sdp_omit:
            names = tuple(f"a={name}" for name in self.behaviour.sdp_omit)
            kept = [line for line in sdp.split("\r\n") if not line.startswith(names)]
            sdp = "\r\n".join(kept)
        return sdp
