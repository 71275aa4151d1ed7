"""The caller leaves a message: prompt, beep, recording, and where the message goes."""

import asyncio
import io
import logging
import uuid
import wave
from dataclasses import replace
from pathlib import Path

from ari_app.ari import AriError, AriHttpError, AriUnavailable
from ari_app.calls import ending
from ari_app.calls.destination import Destination
from ari_app.calls.ending import EndedBy, Ending, Status
from ari_app.flows.entrance import now
from ari_app.flows.visit import Visit
from ari_app.media.files import write_whole
from ari_app.store.voicemails import Voicemail

logger = logging.getLogger(__name__)

DEFAULT_PROMPT = "sound:vm-intro"
BEEP = "sound:beep"
GOODBYE = "sound:vm-goodbye"

#: 16 bit, 8 kHz. Asterisk looks for silence at 8 kHz, so that a wider band would have nothing in it.
FORMAT = "wav"
RATE = 8000

#: Longest message, the silence that ends it, and what is too short to be one, s.
LONGEST_SECONDS = 180
SILENCE_SECONDS = 5
SHORTEST_SECONDS = 2.0

#: Asterisk ends the recording itself; so long after its time we no longer wait for it, s.
RESERVE_SECONDS = 5

#: Limit for reading the file from Asterisk, s, and for its size, bytes.
READ_SECONDS = 30.0
LARGEST = 2 * RATE * (LONGEST_SECONDS + RESERVE_SECONDS)
CHUNK = 65_536


async def leave_message(visit: Visit, target: str) -> Destination | Ending:
    """Take a message for the group `target`, or the number's first group. Raises CallerLeft before the beep."""
    visit.moment = "before leaving a message"
    await visit.play(visit.route.voicemail_prompt if visit.route else DEFAULT_PROMPT)
    await visit.play(BEEP)
    visit.moment = "while leaving a message"
    try:
        sound = await _record(visit)
    except AriHttpError as error:
        logger.error("call %s: no message can be recorded: %s", visit.call.id, error)
        fault = visit.fault(f"no message could be recorded: {error}")
        return await visit.turn_away(fault, visit.services.config.fault_prompt)
    seconds = _seconds(sound)
    if seconds < SHORTEST_SECONDS:
        return await visit.turn_away(_without_message(visit, seconds), GOODBYE)
    groups = visit.route.groups if visit.route else ()
    message = Voicemail(
        id=uuid.uuid4(),
        call_id=visit.call.id,
        number=visit.call.number,
        group=target or next(iter(groups), None),
        file="",
        seconds=seconds,
        created_at=now(),
        caller_number=visit.call.caller.number,
        caller_name=visit.call.caller.name,
    )
    try:
        message = await asyncio.to_thread(_write, message, sound, visit.services.config.voicemail_folder)
    except OSError as error:
        logger.error("call %s: the message cannot be written: %s", visit.call.id, error)
        return await visit.turn_away(
            visit.fault("the message could not be written"), visit.services.config.fault_prompt
        )
    visit.services.post.hand_over(message)
    left = Ending(Status.VOICEMAIL, EndedBy.SYSTEM, f"a message of {seconds:.0f} s was left")
    return await visit.turn_away(left, GOODBYE)


async def _record(visit: Visit) -> bytes:
    """What the caller said, until `#`, a long silence, the longest time, or hanging up. Raises AriError.

    Meanwhile the caller is sent silence: on WhatsApp, media must not pause for seconds.
    """
    recordings, name = visit.ari.recordings, f"whatsapp-voicemail-{uuid.uuid4()}"
    async with visit.caller.asking():
        await visit.caller.channel.start_silence()
        recording = await visit.caller.channel.record(
            name,
            FORMAT,
            max_seconds=LONGEST_SECONDS,
            max_silence_seconds=SILENCE_SECONDS,
            terminate_on="#",
        )
    try:
        await recording.finished(LONGEST_SECONDS + RESERVE_SECONDS)
    except TimeoutError:
        logger.error("call %s: Asterisk did not end the recording of a message: stopped", visit.call.id)
        await recording.stop()
    finally:
        recording.close()
    try:
        sound = await _read(visit, name)
    except AriError:
        logger.error("call %s: its message stays in Asterisk's spool as %s.%s", visit.call.id, name, FORMAT)
        raise
    try:
        await recordings.delete(name)
    except AriError as error:
        logger.warning("call %s: a copy of its message stays in Asterisk's spool: %s", visit.call.id, error)
    return sound


async def _read(visit: Visit, name: str) -> bytes:
    sound = bytearray()
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for part in visit.ari.recordings.read(name, CHUNK):
                sound += part
                if len(sound) > LARGEST:
                    logger.error("call %s: the message is cut at %d bytes", visit.call.id, LARGEST)
                    break
    except TimeoutError as error:
        path = f"/recordings/stored/{name}/file"
        raise AriUnavailable(f"no whole file within {READ_SECONDS:g} s", method="GET", path=path) from error
    return bytes(sound)


def _seconds(sound: bytes) -> float:
    """Length of a WAV file; 0 when it is none, as when nothing was said before hanging up."""
    try:
        with wave.open(io.BytesIO(sound)) as file:
            return float(file.getnframes() / file.getframerate())
    except (wave.Error, EOFError):
        return 0.0


def _without_message(visit: Visit, seconds: float) -> Ending:
    """The caller said nothing to keep: how the call ends is what it was before."""
    left = f"left no message ({seconds:.1f} s were recorded, too short)"
    if not visit.offers:
        return Ending(Status.USER_ABANDON, EndedBy.SYSTEM, f"the caller {left}")
    result = ending.nobody_answered(visit.offers)
    return replace(result, reason=f"{result.reason}; the caller {left}")


def _write(message: Voicemail, sound: bytes, folder: Path) -> Voicemail:
    path = folder.absolute() / f"{message.id}.wav"
    write_whole(path, sound, mode=0o600)
    return replace(message, file=str(path))
