"""Messages that were left in Asterisk's spool, because this application was killed while they were being recorded."""

import logging
from collections.abc import Collection
from pathlib import Path

from ari_app.ari import AriClient, AriError
from ari_app.flows.message_spool import Spooled, keep, read, seconds_of
from ari_app.store.database import StoreError
from ari_app.store.voicemails import LeftMessage, Voicemail, VoicemailStore

logger = logging.getLogger(__name__)


class MessageRecovery:
    """One for each Asterisk. `in_hand` are messages that this process is about, and that are not to be touched."""

    def __init__(self, ari: AriClient, store: VoicemailStore, folder: Path, in_hand: Collection[Spooled]) -> None:
        self._ari = ari
        self._store = store
        self._folder = folder
        self._in_hand = in_hand
        self._complained: set[Spooled] = set()

    async def look(self) -> list[Voicemail]:
        """Those that could be recovered; each is in the catalogue, and no longer in the spool. Raises nothing that
        Asterisk, PostgreSQL or the disk may do.
        """
        found: list[Voicemail] = []
        try:
            names = await self._ari.recordings.stored()
        except AriError as error:
            logger.warning("messages in Asterisk's spool are not looked for: %s", error)
            return found
        for spooled in filter(None, map(Spooled.parse, names)):
            if spooled in self._in_hand:
                continue
            try:
                if (message := await self._recover(spooled)) is not None:
                    found.append(message)
            except (AriError, StoreError, OSError) as error:
                logger.warning("call %s: its message stays in Asterisk's spool for now: %s", spooled.call, error)
        return found

    async def _recover(self, spooled: Spooled) -> Voicemail | None:
        left = await self._store.left(spooled.call)
        if left is None:
            if spooled not in self._complained:
                self._complained.add(spooled)
                logger.error("message %s in Asterisk's spool is of no call that we know", spooled.name)
            return None
        if left.ended_at is None or await self._ari.recordings.is_live(spooled.name):
            return None
        sound = await read(self._ari, spooled)
        seconds = seconds_of(sound)
        if seconds < left.shortest_seconds:
            logger.info("call %s: a message of %.1f s in Asterisk's spool is too short", spooled.call, seconds)
            await self._ari.recordings.delete(spooled.name)
            return None
        message = await keep(_message(spooled, left, seconds), sound, self._folder)
        await self._store.add(message)
        await self._store.mark_call(message)
        await self._ari.recordings.delete(spooled.name)
        logger.warning("call %s: a message of %.0f s was recovered from Asterisk's spool", spooled.call, seconds)
        return message


def _message(spooled: Spooled, left: LeftMessage, seconds: float) -> Voicemail:
    """`left.ended_at` is known."""
    assert left.ended_at is not None
    return Voicemail(
        id=spooled.message,
        call_id=spooled.call,
        number=left.number,
        group=left.group,
        file="",
        seconds=seconds,
        created_at=left.ended_at,
        caller_number=left.caller_number,
        caller_name=left.caller_name,
    )
