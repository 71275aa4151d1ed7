"""What becomes of recordings: out of Asterisk into one stereo file, into PostgreSQL, and away when their time is up.

All of it happens beside the calls, one recording after the other, and waits for nobody. What could not be done (the
disk is full, Asterisk or PostgreSQL is away, this process was killed) is tried again later: Asterisk keeps its files
until then, and their names say which recording they belong to.
"""

import asyncio
import logging
import re
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Protocol
from uuid import UUID

from ari_app.ari import AriClient, AriError, NotFound
from ari_app.flows.entrance import now
from ari_app.media.stereo import join
from ari_app.store.database import StoreError
from ari_app.store.recordings import RecordingRow, RecordingStore

logger = logging.getLogger(__name__)

#: How Asterisk records each side: bare 16 bit samples, and how many of them a second. Opus has nothing to lose there
#: that would matter to a voice.
RATE_FORMAT = "sln16"
RATE = 16_000

#: So often is tried again what failed, and deleted what is to be kept no longer, s.
SWEEP_SECONDS = 300.0

#: What cannot be stored is given up, and deleted in Asterisk, after so long.
GIVE_UP = timedelta(days=1)

#: A side that is so much shorter than the call, s, was cut short by a fault in Asterisk.
MISSING_SECONDS = 3.0

_NAME = re.compile(r"asterisk-whatsapp-([0-9a-f]{32})-(caller|heard)")


def recorded_name(recording_id: UUID, side: str) -> str:
    """What Asterisk calls one side of a recording (`caller` or `heard`)."""
    return f"asterisk-whatsapp-{recording_id.hex}-{side}"


class Running(Protocol):
    """A recording that is being made."""

    @property
    def id(self) -> UUID: ...

    @property
    def call_id(self) -> UUID: ...

    def is_agent(self, channel_id: str) -> bool:
        """Whether a channel is the leg to an agent of this call."""
        ...

    async def pause(self) -> None: ...

    async def resume(self) -> None: ...


@dataclass(frozen=True)
class Take:
    """A recording that has ended, and waits in Asterisk to be fetched."""

    row: RecordingRow
    delays: dict[str, float] = field(default_factory=dict)
    "How much later than the recording each side begins, s."
    seconds: float = 0.0
    "How long it should be at least; 0 when nobody knows."


@dataclass
class Side:
    """One side on its way out of Asterisk."""

    name: str
    size: int = 0
    missing: bool = False


class RecordingKeeper:
    """One for all calls. `run` does the work; the other methods return at once."""

    def __init__(self, ari: AriClient, store: RecordingStore, folder: Path) -> None:
        self._ari = ari
        self._store = store
        self._folder = folder
        self._work: asyncio.Queue[RecordingRow | Take] = asyncio.Queue()
        self._again: list[RecordingRow | Take] = []
        self._running: dict[UUID, Running] = {}
        self._ours: set[UUID] = set()
        "Running, or waiting for us: not left by a predecessor."

    def begin(self, recording: Running) -> None:
        """A recording begins: what Asterisk has of it is in the making."""
        self._ours.add(recording.id)
        self._running[recording.id] = recording

    def of_agent(self, channel_id: str) -> Running | None:
        """The recording that is being made of the call which has this leg to an agent."""
        return next((running for running in self._running.values() if running.is_agent(channel_id)), None)

    def announce(self, row: RecordingRow) -> None:
        """It has begun: write the row."""
        self._work.put_nowait(row)

    def keep(self, take: Take) -> None:
        """It has ended: fetch it."""
        self._running.pop(take.row.id, None)
        self._work.put_nowait(take)

    def forget(self, recording_id: UUID) -> None:
        """It never began."""
        self._running.pop(recording_id, None)
        self._ours.discard(recording_id)

    async def run(self) -> None:
        """Work until cancelled; what is left undone then, the next process finds in Asterisk."""
        loop = asyncio.get_running_loop()
        sweep_at = loop.time()
        while True:
            try:
                async with asyncio.timeout_at(sweep_at):
                    item = await self._work.get()
            except TimeoutError:
                await self.sweep()
                sweep_at = loop.time() + SWEEP_SECONDS
                continue
            await self._do(item)

    async def sweep(self) -> None:
        """Try again what failed, fetch what a predecessor left, delete what is to be kept no longer."""
        again, self._again = self._again, []
        for item in again:
            await self._do(item)
        try:
            await self._fetch_leftovers()
            await self._store.mark_lost(GIVE_UP.total_seconds())
            while await self._store.delete_expired(self._remove):
                pass
        except (AriError, StoreError) as error:
            logger.warning("recordings are not looked after for now: %s", error)
        except Exception:
            logger.exception("recordings are not looked after for now: a fault of ours")

    async def _do(self, item: RecordingRow | Take) -> None:
        """Nothing that goes wrong with one recording may keep the others waiting."""
        row = item.row if isinstance(item, Take) else item
        try:
            if isinstance(item, Take):
                await self._store.save(row)
                await self._fetch(item)
                self._ours.discard(row.id)
            else:
                await self._store.save(item)
        except StoreError as error:
            logger.error("recording %s of call %s waits for PostgreSQL: %s", row.id, row.call_id, error)
            if isinstance(item, Take):
                self._again.append(item)
        except AriError as error:
            logger.error("recording %s of call %s waits in Asterisk: %s", row.id, row.call_id, error)
            self._again.append(item)
        except Exception:
            logger.exception("recording %s of call %s: a fault of ours", row.id, row.call_id)
            self._ours.discard(row.id)

    async def _fetch_leftovers(self) -> None:
        """What Asterisk keeps and nobody works on. Raises AriError, StoreError."""
        found = {
            uuid.UUID(match[1]) for name in await self._ari.recordings.stored() if (match := _NAME.fullmatch(name))
        }
        for recording_id in found - self._ours:
            row = await self._store.find(recording_id)
            if row is None:
                logger.warning("recording %s is of no call that we know: deleted", recording_id)
                await self._delete_in_asterisk(recording_id)
            elif row.seconds is not None:
                await self._delete_in_asterisk(recording_id)
            else:
                logger.info("recording %s of call %s was left in Asterisk", row.id, row.call_id)
                await self._fetch(Take(replace(row, fault=None)))

    async def _fetch(self, take: Take) -> None:
        """Make the stereo file and say so in the row; then Asterisk need not keep anything.

        Raises AriError (Asterisk keeps it), StoreError. A disk that does not take it is a fault in the row.
        """
        row = take.row
        sides = caller, heard = Side("caller"), Side("heard")
        try:
            seconds = await join(
                self._folder / row.file,
                RATE,
                self._read(row.id, caller),
                self._read(row.id, heard),
                left_delay=take.delays.get(caller.name, 0.0),
                right_delay=take.delays.get(heard.name, 0.0),
            )
        except OSError as error:
            await self._not_stored(row, error)
            return
        faults = [fault for side in sides if (fault := _shortfall(side, take))]
        if row.fault:
            faults = [row.fault]
        if all(side.size == 0 for side in sides):
            await self._remove(row.file)
            row = replace(row, fault="; ".join(faults) or "Asterisk has recorded nothing")
        else:
            row = replace(row, seconds=round(seconds, 2), fault="; ".join(faults) or None)
        if row.fault:
            logger.error("the recording of call %s is incomplete: %s", row.call_id, row.fault)
        await self._store.save(row)
        await self._delete_in_asterisk(row.id)

    async def _not_stored(self, row: RecordingRow, error: OSError) -> None:
        reason = f"it cannot be stored in {self._folder}: {error.strerror or error}"
        logger.error("the recording of call %s: %s", row.call_id, reason)
        await self._store.save(replace(row, fault=reason))
        if now() - row.started_at > GIVE_UP:
            logger.error("the recording of call %s is given up", row.call_id)
            await self._delete_in_asterisk(row.id)

    async def _read(self, recording_id: UUID, side: Side) -> AsyncIterator[bytes]:
        try:
            async for part in self._ari.recordings.read(recorded_name(recording_id, side.name), 2 * RATE):
                side.size += len(part)
                yield part
        except NotFound:
            side.missing = True

    async def _delete_in_asterisk(self, recording_id: UUID) -> None:
        for side in ("caller", "heard"):
            await self._ari.recordings.delete(recorded_name(recording_id, side))

    async def _remove(self, file: str) -> bool:
        """Delete a file; True when it is gone."""
        path = self._folder / file
        try:
            await asyncio.to_thread(path.unlink, missing_ok=True)
        except OSError as error:
            logger.error("recording %s cannot be deleted: %s", path, error.strerror)
            return False
        return True


def _shortfall(side: Side, take: Take) -> str | None:
    """What is missing of a side, in words."""
    if side.missing:
        return f"Asterisk has no recording of the {side.name} side"
    seconds = take.delays.get(side.name, 0.0) + side.size / (2 * RATE)
    if seconds < take.seconds - MISSING_SECONDS:
        return f"the {side.name} side ends after {seconds:.1f} of {take.seconds:.1f} s: Asterisk could not write on"
    return None
