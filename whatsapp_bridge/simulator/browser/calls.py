"""Calls whose user is a person in a browser: the same state machines, with the browser's SDP and the browser's media.

What differs from Meta: the business's media goes to the browser itself, which is a full ICE agent although the SDP
says ice-lite. Both sides are then controlling; they resolve it as RFC 8445 section 7.3.1.1 says (tried with Chromium
150: aioice gives the role up in one half of the calls, Chromium in the other). And the reply to a business's
`connect` waits for the browser's SDP, about 0.2 s.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from ..call import Call, Side
from ..inbound import InboundCall
from ..media.opus import Clip
from ..models import PlaceCall, UserPlan
from ..offer import RelayMedia, relay_sdp
from ..outbound import OutboundCall
from ..payloads import CallFacts
from ..sdp import BusinessMedia
from .description import BrowserDescription, for_browser
from .media import BrowserPhone, BrowserRelay
from .messages import Stats, Told

if TYPE_CHECKING:
    from ..call import Surroundings

ACCEPTED: dict[Side, str] = {"user": "You hung up", "business": "The business hung up", "meta": "The call broke off"}
REFUSED: dict[Side, str] = {
    "user": "You hung up",
    "business": "The business does not take the call",
    "meta": "Nobody answered",
}
MISSED: dict[Side, str] = {"user": "You declined", "business": "The business gave up", "meta": "You did not answer"}
"""In words, by who ended it: a call that was accepted, one of the user's that was not, one of the business's."""

NO_SOUND = "The call broke off: no sound came from the business"


class _InBrowser(Call):
    """What both directions share: the page's part of the call."""

    tell: Callable[[Told], None]
    description: BrowserDescription
    unaccepted: dict[Side, str]
    "Reasons in words."

    async def open_media(self, address: str, clip: Clip | None, silence: Clip, *, loop: bool, record: bool) -> None:
        """Instead of a socket and a headless phone."""
        self.relay = relay = BrowserRelay(self)
        self.phone = BrowserPhone(relay, silence, self._tell)

    @property
    def relay_media(self) -> RelayMedia:
        """The browser, as Meta's SDP describes it."""
        known = self.description
        host, port = known.addresses[0]
        return RelayMedia(
            host, port, known.ice_ufrag, known.ice_pwd, known.fingerprint, known.ssrc or secrets.randbits(32)
        )

    def take(self, stats: Stats) -> None:
        """What the browser's WebRTC counted."""
        if self.live:
            self.relay_of_browser.take(stats)
            if self.state == "connected" and stats.packets_in:
                self.times.setdefault("first_audio", time.time())

    @property
    def relay_of_browser(self) -> BrowserRelay:
        """`relay`, as what it is."""
        assert isinstance(self.relay, BrowserRelay)
        return self.relay

    def connected(self) -> None:
        """Tells the page, which then lets the microphone be heard."""
        super().connected()
        self._tell({"type": "connected"})

    def end(self, by: Side, *errors: int) -> None:
        was_live = self.live
        super().end(by, *errors)
        if was_live:
            self._say_end(by, NO_SOUND if errors else None)

    def abandon(self) -> None:
        was_live = self.live
        super().abandon()
        if was_live:
            self._say_end("meta", "The simulator was reset")

    def _say_end(self, by: Side, reason: str | None) -> None:
        accepted = self.times.get("accepted")
        seconds = None if accepted is None else round(self.times["ended"] - accepted)
        words = ACCEPTED if accepted is not None else self.unaccepted
        reason = reason or words[by]
        self._tell({"type": "ended", "by": by, "reason": reason, "seconds": seconds})

    def _tell(self, told: Told) -> None:
        self.tell({**told, "call": self.id})


class BrowserInboundCall(_InBrowser, InboundCall):
    """A person calls a business."""

    def __init__(
        self,
        around: Surroundings,
        facts: CallFacts,
        wanted: PlaceCall,
        *,
        tell: Callable[[Told], None],
        description: BrowserDescription,
    ) -> None:
        super().__init__(around, facts, wanted)
        self.tell, self.description, self.unaccepted = tell, description, REFUSED

    def _offer(self) -> str:
        known = self.description
        sdp = relay_sdp(self.relay_media, opus=known.opus, dtmf=known.dtmf)
        return with_addresses(sdp, known.addresses)

    def _take_sdp(self, session: object) -> None:
        known_before = self.business is not None
        super()._take_sdp(session)
        if not known_before and self.business_sdp is not None:
            self._tell({"type": "sdp", "sdp": for_browser(self.business_sdp, mid=self.description.mid)})


class BrowserOutboundCall(_InBrowser, OutboundCall):
    """A business calls a person, who decides whether to answer."""

    def __init__(
        self,
        around: Surroundings,
        facts: CallFacts,
        plan: UserPlan,
        business: BusinessMedia,
        sdp: str,
        *,
        tell: Callable[[Told], None],
        describe: Callable[[Told], Awaitable[BrowserDescription]],
    ) -> None:
        person = plan.model_copy(update={"answer": "ignore"})  # until a button is pressed
        super().__init__(around, facts, person, business, sdp)
        self.tell, self.unaccepted, self._describe = tell, MISSED, describe
        self._rang = False
        # Meta's answer takes the part in DTLS that the plan says: the browser is left no other choice.
        self._offered_setup = "passive" if plan.setup == "active" else "active"

    async def open_media(self, address: str, clip: Clip | None, silence: Clip, *, loop: bool, record: bool) -> None:
        """Asks the browser for its SDP, before the phone rings. Raises OSError if the page does not answer."""
        await super().open_media(address, clip, silence, loop=loop, record=record)
        sdp = for_browser(str(self.business_sdp), setup=self._offered_setup)
        caller = self.facts.number
        self.description = await self._describe(
            {"type": "offer", "call": self.id, "sdp": sdp, "from": caller.display_number, "name": caller.name}
        )

    def changed(self) -> None:
        if self.state == "ringing" and not self._rang:
            self._rang = True
            self._tell({"type": "incoming"})
        super().changed()


def with_addresses(sdp: str, addresses: tuple[tuple[str, int], ...]) -> str:
    """Meta's SDP with further candidates, as many as the browser has addresses."""
    lines = sdp.split("\r\n")
    at = next(index for index, line in enumerate(lines) if line.startswith("a=candidate:"))
    further = [
        f"a=candidate:{secrets.randbits(31)} 1 udp {2122260223 - position} {host} {port}"
        " typ host generation 0 network-cost 50"
        for position, (host, port) in enumerate(addresses[1:], start=1)
    ]
    return "\r\n".join([*lines[: at + 1], *further, *lines[at + 1 :]])
