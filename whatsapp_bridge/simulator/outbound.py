"""A business calls a user: NEW, RINGING, CONNECTED, ENDED; the connect webhook with the answer comes in between."""

from __future__ import annotations

import logging
import time

from . import payloads
from .call import Call, Surroundings
from .media.opus import Clip
from .models import UserPlan
from .offer import relay_sdp
from .payloads import CallFacts
from .sdp import BusinessMedia

_log = logging.getLogger(__name__)


class OutboundCall(Call):
    """The state machine of a business-initiated call; the user acts as planned."""

    def __init__(
        self, around: Surroundings, facts: CallFacts, plan: UserPlan, business: BusinessMedia, sdp: str
    ) -> None:
        super().__init__(around, facts, plan.behaviour, plan.webhooks)
        self.business, self.business_sdp = business, sdp
        self._plan = plan

    async def call(self, clip: Clip | None, silence: Clip, address: str) -> None:
        """Opens the relay, and lets things take their course. Raises OSError if there is no port."""
        plan, business = self._plan, self.business
        assert business is not None
        await self.open_media(address, clip, silence, loop=plan.play.loop, record=plan.record)
        self.local_sdp = relay_sdp(
            self.relay_media, setup=plan.setup, mid=business.mid, opus=business.opus_type, dtmf=business.dtmf_type
        )
        self.relay.set_business(business, "client" if plan.setup == "active" else "server")
        if not self.webhook_options.lose_connect:
            self.start_timer("connect", plan.connect_ms / 1000, self._tell_answer)
        if plan.answer != "busy":
            self.start_timer("ringing", plan.ringing_ms / 1000, self._ring)
        if plan.answer == "accept":
            self.start_timer("answer", plan.answer_ms / 1000, self.accept)
        elif plan.answer in ("reject", "busy"):
            self.start_timer("answer", plan.answer_ms / 1000, self.reject)
        limit = self.behaviour.ring_s or self.around.timers.answer_timeout
        self.start_timer("ring", limit, lambda: self.end("meta"))

    def accept(self) -> None:
        """The user answers."""
        if self.state in ("new", "ringing"):
            self.around.pacer.remove(self.phone)
            self.connected()
            if delay := self._plan.accepted_delay_ms:
                self.start_timer("accepted", delay / 1000, lambda: self._tell_status("ACCEPTED"))
            else:
                self._tell_status("ACCEPTED")

    def reject(self) -> None:
        """The user refuses."""
        if self.state in ("new", "ringing"):
            self._tell_status("REJECTED")
            self.end("user")

    def _tell_answer(self) -> None:
        value = payloads.connect(self.facts, int(time.time()), self.local_sdp, "answer", self.opaque)
        self.webhook("connect", value)

    def _ring(self) -> None:
        if self.state == "new":
            self.state = "ringing"
            self.times["ringing"] = time.time()
            self._tell_status("RINGING")
            if self._plan.early_media:
                self.phone.may_send, self.phone.waits = True, False
                self.around.pacer.add(self.phone)
            self.changed()

    def _tell_status(self, state: str) -> None:
        self.webhook(state, payloads.status(self.facts, state, int(time.time()), self.opaque))
