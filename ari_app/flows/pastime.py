"""What a waiting caller hears: music, and now and then the waiting prompt, the position, the estimate."""

import asyncio
import logging
from collections.abc import Callable

from ari_app.ari import AriError, Playback
from ari_app.ari.events import PlaybackFinished
from ari_app.calls.group import Group
from ari_app.flows.visit import Visit

logger = logging.getLogger(__name__)

#: Asterisk says that a prompt is over within some ms of the request to stop it, s.
STOP_SECONDS = 0.1

#: No minutes are told that nobody can foresee, min.
LONGEST_ESTIMATE = 60


class Pastime:
    """Never waits for a prompt's end: `due` says when `announce` is to be called, `heard` takes the events."""

    def __init__(
        self, visit: Visit, group: Group, position: Callable[[], int], estimate: Callable[[], float | None]
    ) -> None:
        self._visit = visit
        self._group = group
        self._position = position
        self._estimate = estimate
        self._prompt: Playback | None = None
        self._music = False
        self.due = float("inf")
        "When something is to be announced, in the loop's time."

    @property
    def is_announcing(self) -> bool:
        """Whether a prompt is being played."""
        return self._prompt is not None

    async def start(self) -> None:
        """Music; and the position at once, if it is told at all. Raises CallerLeft."""
        if self._group.announce_position or self._group.announce_wait:
            await self._play(self._numbers())
        else:
            await self._start_music()

    async def resume(self) -> None:
        """Music again, after `stop`. Raises CallerLeft."""
        if self._prompt is None:
            await self._start_music()

    async def announce(self) -> None:
        """What is due now. Raises CallerLeft."""
        self.due = float("inf")
        media = self._numbers()
        if self._visit.route is not None and self._visit.route.waiting_prompt:
            media.insert(0, await self._visit.services.prompts.uri(self._visit.route.waiting_prompt))
        if media:
            await self._stop_music()
            await self._play(media)

    async def heard(self, event: PlaybackFinished) -> None:
        """A prompt has ended: music again. Raises CallerLeft."""
        if self._prompt is not None and event.playback.id == self._prompt.id:
            if event.playback.state == "failed":
                logger.warning("call %s: an announcement cannot be played", self._visit.call.id)
            self._prompt.close()
            self._prompt = None
            await self._start_music()

    async def stop(self) -> None:
        """Silence, before the caller is joined or goes on. Returns when Asterisk plays nothing more. Raises
        CallerLeft.
        """
        self.due = float("inf")
        if self._prompt is not None:
            prompt, self._prompt = self._prompt, None
            with prompt:
                await prompt.stop()
                try:
                    await prompt.finished(STOP_SECONDS)
                except (TimeoutError, AriError):
                    logger.debug("call %s: no word of the end of an announcement", self._visit.call.id)
        await self._stop_music()

    def close(self) -> None:
        """The caller has gone."""
        if self._prompt is not None:
            self._prompt.close()

    def _numbers(self) -> list[str]:
        """Position and estimate in Asterisk's own words (the sounds of its queues)."""
        media: list[str] = []
        if self._group.announce_position:
            place = self._position()
            media += (
                ["sound:queue-youarenext"]
                if place == 1
                else ["sound:queue-thereare", f"number:{place}", "sound:queue-callswaiting"]
            )
        if self._group.announce_wait and (seconds := self._estimate()) is not None:
            minutes = min(LONGEST_ESTIMATE, round(seconds / 60))
            media += ["sound:queue-holdtime", f"number:{max(1, minutes)}"]
            media += ["sound:queue-minute" if minutes <= 1 else "sound:queue-minutes"]
        return media

    async def _play(self, media: list[str]) -> None:
        async with self._visit.caller.asking():
            self._prompt = await self._visit.caller.channel.play(media) if media else None
        if self._prompt is None:
            await self._start_music()

    async def _start_music(self) -> None:
        self.due = asyncio.get_running_loop().time() + self._group.waiting_interval_seconds
        if not self._music:
            async with self._visit.caller.asking():
                await self._visit.caller.channel.start_moh(self._group.music_class)
            self._music = True

    async def _stop_music(self) -> None:
        if self._music:
            self._music = False
            async with self._visit.caller.asking():
                await self._visit.caller.channel.stop_moh()
