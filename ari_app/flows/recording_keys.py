"""Agents pause and resume the recording of the call they are in: `*1` and `*2` on their phone.

The caller hears the keys as well, as in any bridge of Asterisk's; what is spoken then, only the agent hears.
"""

import asyncio
import logging

from ari_app.ari import AriClient, AriError
from ari_app.ari.events import ChannelDtmfReceived
from ari_app.flows.recording_keeper import RecordingKeeper

logger = logging.getLogger(__name__)

#: The second key must follow the first within so long, s.
NEXT_KEY_SECONDS = 3.0

#: What the second key does.
DONE = {"1": "paused", "2": "resumed"}

PAUSED = "sound:de-activated"
RESUMED = "sound:activated"
FAILED = "sound:beeperr"


class RecordingKeys:
    """One for all calls."""

    def __init__(self, ari: AriClient, keeper: RecordingKeeper) -> None:
        self._ari = ari
        self._keeper = keeper
        self._stars: dict[str, float] = {}
        "Agents' channels on which `*` was the last key, and when, loop time."

    async def run(self) -> None:
        """Listen until cancelled. Raises AriError when nothing will come any more."""
        with self._ari.events(ChannelDtmfReceived) as events:
            async for event in events:
                if isinstance(event, ChannelDtmfReceived) and (code := self._code(event.channel.id, event.digit)):
                    await self._obey(event.channel.id, code)

    def _code(self, channel_id: str, digit: str) -> str | None:
        """The key after a `*`."""
        now = asyncio.get_running_loop().time()
        self._stars = {channel: at for channel, at in self._stars.items() if now - at < NEXT_KEY_SECONDS}
        began = self._stars.pop(channel_id, None)
        if digit == "*":
            self._stars[channel_id] = now
            return None
        return digit if began is not None else None

    async def _obey(self, channel_id: str, code: str) -> None:
        recording = self._keeper.of_agent(channel_id)
        if code not in DONE or recording is None:
            return
        try:
            if code == "1":
                await recording.pause()
            else:
                await recording.resume()
        except AriError as error:
            logger.error("call %s: the recording cannot be paused or resumed: %s", recording.call_id, error)
            await self._say(channel_id, FAILED)
        else:
            logger.info("call %s: the agent %s the recording", recording.call_id, DONE[code])
            await self._say(channel_id, PAUSED if code == "1" else RESUMED)

    async def _say(self, channel_id: str, media: str) -> None:
        try:
            playback = await self._ari.channels.handle(channel_id).play(media)
        except AriError as error:
            logger.debug("channel %s hears no confirmation: %s", channel_id, error)
        else:
            playback.close()
