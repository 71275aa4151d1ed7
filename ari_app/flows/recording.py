"""Recording a call from the answer to the end: the caller on the left, what the caller hears on the right.

Two snoop channels hang on the caller's channel, one for each direction, and Asterisk records each into a file of its
own. They go wherever the caller goes, through prompts, music, agents and transfers; where nothing is said or sent, they
have silence, so that both files keep the time of the clock (measured, 22.10.1: 13.0 s of a call of 13.0 s, where
MixMonitor had 10.0 s, most likely without the 3 s in which the phone held the call). Each costs about one and a half
percent of a core for a call in Opus. What becomes of the files, `RecordingKeeper` sees to.

What a caller says while a `tone:` is played to them is missing (MixMonitor has not got it either).

To record Opus, Asterisk decodes it, one decoder for each direction of the caller's channel. Debian's (22.10.1) follows
the RTP sequence numbers: when the source changes, a higher number is taken for packets lost, and conjured up for some
hundred ms; a lower one for packets late, and dropped until the numbers have caught up, which takes minutes. After an
attended transfer 5 of 12 recordings had silence for what the caller was sent. A frame of another format makes Asterisk
begin with a new decoder; so 40 ms of silence are played to the caller then: 30 of 30 were whole. In the queue, music
does the same. What is not covered: a phone that begins with other numbers in the middle of a call, unasked.
"""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from ari_app.ari import AriError, Channel, LiveRecording, channel_id
from ari_app.ari.events import RecordingFailed, RecordingStarted, StasisStart
from ari_app.flows.entrance import now
from ari_app.flows.recording_keeper import RATE_FORMAT, Take, recorded_name
from ari_app.flows.visit import Visit
from ari_app.store.recordings import RecordingRow

logger = logging.getLogger(__name__)

#: First argument with which the snoop channels enter the application.
RECORDER = "recorder"

#: Limit for Asterisk to begin, and to end, a recording, s. Each takes some ms.
START_SECONDS = 5.0
STOP_SECONDS = 2.0

#: What makes Asterisk take a new decoder: a second of silence from here on, ms. Limit for it to be played, s.
SILENCE = "sound:silence/1"
SILENCE_FROM = 960
SILENCE_SECONDS = 2.0

#: What snoop channels call the sides: what the caller says, and what the caller is sent.
SIDES = {"caller": "in", "heard": "out"}


async def start_recording(visit: Visit) -> "Recording | None":
    """Record the caller from now on, if the route says so, after the consent prompt if there is one.

    It ends with the visit. That it cannot be recorded is in the recording's row, and not the caller's problem.
    Raises CallerLeft.
    """
    route = visit.route
    if route is None or not route.recording:
        return None
    if route.consent_prompt is not None:
        visit.moment = "during the consent prompt"
        await visit.play(route.consent_prompt)
    return await begin_recording(visit, route.recording_days)


async def begin_recording(visit: Visit, days: int | None) -> "Recording":
    """Record the person at the other end from now on, and what that person hears; kept for so many days."""
    recording = Recording(visit, days)
    visit.companions.append(recording)
    await recording.start()
    return recording


@dataclass
class Side:
    """One direction, as Asterisk records it."""

    name: str
    snoop: Channel | None = None
    live: LiveRecording | None = None
    started_at: datetime | None = None
    fault: str | None = None

    def release(self) -> None:
        if self.live is not None:
            self.live.close()
        if self.snoop is not None:
            self.snoop.close()


class Recording:
    """The recording of one visit, and one of its companions."""

    def __init__(self, visit: Visit, days: int | None) -> None:
        self.visit = visit
        self.paused = False
        self.id = uuid.uuid4()
        self._keeper = visit.services.recordings
        self._days = days
        self._sides = [Side(name) for name in SIDES]
        self._snoop_ids: set[str] = set()
        self._row: RecordingRow | None = None
        self._began = 0.0

    @property
    def call_id(self) -> uuid.UUID:
        return self.visit.call.id

    def is_agent(self, channel_id: str) -> bool:
        """Whether a channel is the leg to an agent of this call."""
        return self.visit.is_agent(channel_id)

    def owns(self, channel_id: str) -> bool:
        return channel_id in self._snoop_ids

    async def start(self) -> None:
        """Begin. Never raises for Asterisk's sake: what is missing goes into the row's `fault`."""
        self._keeper.begin(self)
        await asyncio.gather(*(self._start(side) for side in self._sides))
        self._began = asyncio.get_running_loop().time()
        started_at = min((side.started_at for side in self._sides if side.started_at is not None), default=now())
        file = f"{started_at:%Y/%m/%d}/{self.visit.call.id}.wav"
        self._row = RecordingRow(self.id, self.visit.call.id, file, started_at, self._days, fault=self._fault)
        self._keeper.announce(self._row)
        if self._fault is not None:
            logger.error("call %s: %s", self.visit.call.id, self._fault)

    async def pause(self) -> None:
        """Silence from now on, while time goes on. Raises AriError when a side goes on being recorded."""
        await self._each(lambda live: live.mute())
        self.paused = True

    async def resume(self) -> None:
        """Raises AriError."""
        await self._each(lambda live: live.unmute())
        self.paused = False

    async def other_side_changed(self) -> None:
        """Have what the caller hears decoded anew. Raises nothing for Asterisk's sake."""
        try:
            with await self.visit.caller.channel.play(SILENCE, offset_ms=SILENCE_FROM) as silence:
                played = await silence.finished(SILENCE_SECONDS)
        except (AriError, TimeoutError) as error:
            logger.debug("call %s: no new decoder for its recording: %r", self.visit.call.id, error)
        else:
            if played.state == "failed":
                logger.error(
                    "call %s: what the caller hears may be missing in its recording: Asterisk cannot play %s. "
                    "Install its core sounds",
                    self.visit.call.id,
                    SILENCE,
                )

    async def close(self) -> None:
        """End it, and hand it to the keeper. Raises nothing."""
        seconds = asyncio.get_running_loop().time() - self._began
        await asyncio.gather(*(self._stop(side) for side in self._sides))
        if self._row is None:
            self._keeper.forget(self.id)
            return
        delays = {
            side.name: (side.started_at - self._row.started_at).total_seconds()
            for side in self._sides
            if side.started_at is not None
        }
        self._keeper.keep(Take(self._row, delays, seconds))

    @property
    def _fault(self) -> str | None:
        return "; ".join(side.fault for side in self._sides if side.fault) or None

    async def _start(self, side: Side) -> None:
        try:
            side.snoop = await self._snoop(side)
            await side.snoop.wait_for(StasisStart, timeout=START_SECONDS)
            await side.snoop.set_variable("CDR_PROP(disable)", "1")  # it would be a call of its own in the records
            side.live = await side.snoop.record(recorded_name(self.id, side.name), RATE_FORMAT)
            event = await side.live.events.wait_for(RecordingStarted, RecordingFailed, timeout=START_SECONDS)
            if isinstance(event, RecordingFailed):
                side.fault = f"Asterisk does not record the {side.name} side: {event.recording.cause}"
            else:
                side.started_at = event.timestamp or now()
        except (AriError, TimeoutError) as error:
            side.fault = f"Asterisk does not record the {side.name} side: {error or type(error).__name__}"

    async def _snoop(self, side: Side) -> Channel:
        snoop_id = channel_id()
        self._snoop_ids.add(snoop_id)
        args = (RECORDER, str(self.visit.call.id))
        return await self.visit.caller.channel.snoop(SIDES[side.name], app_args=args, snoop_id=snoop_id)

    async def _stop(self, side: Side) -> None:
        """A side whose caller hung up has ended already."""
        try:
            if side.live is not None:
                await side.live.stop()
            if side.snoop is not None:
                await side.snoop.hangup()
            if side.live is not None and side.started_at is not None:
                await side.live.finished(STOP_SECONDS)
        except (AriError, TimeoutError) as error:
            logger.warning("call %s: while its recording ends: %r", self.visit.call.id, error)
        finally:
            side.release()

    async def _each(self, do: Callable[[LiveRecording], Awaitable[None]]) -> None:
        for side in self._sides:
            if side.live is not None and side.started_at is not None:
                await do(side.live)
