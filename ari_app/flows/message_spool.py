"""A message while Asterisk has it: what the recording is called, how it is read, and how it becomes a file of ours.

Asterisk keeps its copy until the message is in the catalogue, and the copy's name says whose it is; so a message
survives whatever happens to this process meanwhile (`MessageRecovery`).
"""

import asyncio
import io
import logging
import re
import wave
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from ari_app.ari import AriClient, AriUnavailable
from ari_app.media.files import write_whole
from ari_app.store.voicemails import Voicemail

logger = logging.getLogger(__name__)

#: 16 bit, 8 kHz. Asterisk looks for silence at 8 kHz, so that a wider band would have nothing in it.
FORMAT = "wav"
RATE = 8000

#: Limit for reading the file from Asterisk, s, and for its length, s (sql/0010: half an hour at most).
READ_SECONDS = 60.0
LONGEST_SECONDS = 1800 + 5
CHUNK = 65_536

_NAME = re.compile(r"asterisk-whatsapp-voicemail-([0-9a-f]{32})-([0-9a-f]{32})")


@dataclass(frozen=True)
class Spooled:
    """A message in Asterisk's spool."""

    message: UUID
    call: UUID

    @property
    def name(self) -> str:
        """As Asterisk calls it."""
        return f"asterisk-whatsapp-voicemail-{self.message.hex}-{self.call.hex}"

    @classmethod
    def parse(cls, name: str) -> "Spooled | None":
        """None if the recording is none of ours."""
        match = _NAME.fullmatch(name)
        return cls(UUID(match[1]), UUID(match[2])) if match else None


async def read(ari: AriClient, spooled: Spooled) -> bytes:
    """The WAV file; what is longer than any message may be is cut. Raises AriError."""
    sound, largest = bytearray(), 2 * RATE * LONGEST_SECONDS
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for part in ari.recordings.read(spooled.name, CHUNK):
                sound += part
                if len(sound) > largest:
                    logger.error("call %s: the message is cut at %d bytes", spooled.call, largest)
                    break
    except TimeoutError as error:
        path = f"/recordings/stored/{spooled.name}/file"
        raise AriUnavailable(f"no whole file within {READ_SECONDS:g} s", method="GET", path=path) from error
    return bytes(sound)


def seconds_of(sound: bytes) -> float:
    """Length of a WAV file; 0 when it is none, as when nothing was said before hanging up.

    Of a file that was never closed, because Asterisk was killed, it is what is there, whatever its header says.
    """
    try:
        with wave.open(io.BytesIO(sound)) as file:
            rate, width = file.getframerate(), file.getsampwidth() * file.getnchannels()
            frames = min(file.getnframes() or len(sound) // width, len(sound) // width)
            return float(frames / rate)
    except (wave.Error, EOFError):
        return 0.0


async def keep(message: Voicemail, sound: bytes, folder: Path) -> Voicemail:
    """Write the file; the message with its path. Raises OSError."""
    return await asyncio.to_thread(_write, message, sound, folder)


def _write(message: Voicemail, sound: bytes, folder: Path) -> Voicemail:
    path = folder.absolute() / f"{message.id}.wav"
    write_whole(path, sound, mode=0o600)
    return replace(message, file=str(path))
