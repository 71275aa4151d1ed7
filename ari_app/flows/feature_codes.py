"""Codes that agents dial on their phones: log in, log out, pause, take calls again; be called back or not.

The dialplan (`extensions_whatsapp_agent.conf`) says `Stasis(asterisk-whatsapp,agent-code,<what>[,<digit>])`. Which
agent it is, only the channel's endpoint says: a caller id can be set to anything.
"""

import asyncio
import logging
import re
from collections.abc import Mapping

from ari_app.ari import AriClient, AriError, Channel
from ari_app.ari.events import StasisStart
from ari_app.calls.offer import NORMAL_CLEARING
from ari_app.flows.legs import CallerLeft, CallerLeg
from ari_app.store.database import StoreError
from ari_app.store.feature_codes import FeatureCodeStore

logger = logging.getLogger(__name__)

#: First argument with which such a channel enters the application.
AGENT_CODE = "agent-code"

#: What is spoken, in Asterisk's core sounds.
CONFIRMED = {
    "login": ("sound:agent-loginok",),
    "logout": ("sound:agent-loggedoff",),
    "pause": ("sound:do-not-disturb", "sound:activated"),
    "resume": ("sound:do-not-disturb", "sound:de-activated"),
    "call-back-on": ("sound:calling", "sound:activated"),
    "call-back-off": ("sound:calling", "sound:de-activated"),
}
NO_AGENT = ("sound:im-sorry", "sound:feature-not-avail-line")
OUT_OF_ORDER = ("sound:im-sorry", "sound:please-try-call-later")

#: A phone's sound needs so long to open after the answer, and to play what is on its way before the end, s.
PATH_SECONDS = 0.3

#: Why an agent pauses who gives no reason.
NO_REASON = "Paused"

_CHANNEL_NAME = re.compile(r"(.+)-[0-9a-f]{8}(;[12])?")


def endpoint_of(channel_name: str) -> str:
    """`PJSIP/1001-0000002a` is a channel of `PJSIP/1001`."""
    match = _CHANNEL_NAME.fullmatch(channel_name)
    return match[1] if match else channel_name


class FeatureCodes:
    """One for all phones."""

    def __init__(self, ari: AriClient, store: FeatureCodeStore, pause_reasons: Mapping[str, str]) -> None:
        """`pause_reasons`: what the digits 1 to 9 mean."""
        self._ari = ari
        self._store = store
        self._pause_reasons = pause_reasons

    async def serve(self, start: StasisStart, channel: Channel) -> None:
        """Do what the code says, say so, hang up. Nothing that goes wrong leaves this."""
        leg = CallerLeg(self._ari, channel)
        try:
            async with leg.asking():
                await channel.answer()
            words = await self._apply(endpoint_of(start.channel.name), *start.args[1:3])
            await asyncio.sleep(PATH_SECONDS)
            for media in words:
                await leg.play(media)
            await asyncio.sleep(PATH_SECONDS)
        except CallerLeft:
            logger.debug("channel %s hung up during a feature code", channel.id)
        except AriError as error:
            logger.error("feature code of %s: %s", start.channel.name, error)
        finally:
            leg.close()
            try:
                await channel.hangup(reason_code=NORMAL_CLEARING)
            except AriError as error:
                logger.warning("channel %s cannot be hung up: %s", channel.id, error)

    async def _apply(self, endpoint: str, what: str = "", digit: str = "") -> tuple[str, ...]:
        """What is to be spoken."""
        try:
            match what:
                case "login":
                    name = await self._store.log_in(endpoint)
                case "logout":
                    name = await self._store.log_out(endpoint)
                case "pause":
                    name = await self._store.pause(endpoint, self._reason(digit))
                case "resume":
                    name = await self._store.resume(endpoint)
                case "call-back-on" | "call-back-off":
                    name = await self._store.call_back(endpoint, on=what == "call-back-on")
                case _:
                    logger.error("the dialplan asks for %s %.64r, which does not exist", AGENT_CODE, what)
                    return OUT_OF_ORDER
        except StoreError as error:
            logger.error("feature code %s of %s: %s", what, endpoint, error)
            return OUT_OF_ORDER
        if name is None:
            logger.warning("feature code %s of %s: that is no agent's endpoint", what, endpoint)
            return NO_AGENT
        logger.info("%s (%s): %s", name, endpoint, " ".join(filter(None, (what, digit))))
        return CONFIRMED[what]

    def _reason(self, digit: str) -> str:
        if not digit:
            return NO_REASON
        return self._pause_reasons.get(digit, f"Reason {digit[:1]}")
