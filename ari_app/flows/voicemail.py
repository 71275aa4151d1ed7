"""The caller leaves a message: prompt, beep, recording, and where the message goes."""

import logging
import uuid
from dataclasses import replace

from ari_app.ari import AriHttpError
from ari_app.calls import ending
from ari_app.calls.destination import Destination
from ari_app.calls.ending import EndedBy, Ending, Status
from ari_app.flows.entrance import now
from ari_app.flows.message_spool import FORMAT, Spooled, keep, read, seconds_of
from ari_app.flows.visit import Visit
from ari_app.store.voicemails import Voicemail

logger = logging.getLogger(__name__)

DEFAULT_PROMPT = "sound:vm-intro"
BEEP = "sound:beep"
GOODBYE = "sound:vm-goodbye"

#: For calls without a route, s: longest message, the silence that ends it, and what is too short to be one.
LONGEST_SECONDS, SILENCE_SECONDS, SHORTEST_SECONDS = 180, 5, 2

#: Asterisk ends the recording itself; so long after its time we no longer wait for it, s.
RESERVE_SECONDS = 5


async def leave_message(visit: Visit, target: str) -> Destination | Ending:
    """Take a message for the group `target`, or the number's first group. Raises CallerLeft before the beep."""
    visit.moment = "before leaving a message"
    await visit.play(visit.route.voicemail_prompt if visit.route else DEFAULT_PROMPT)
    await visit.play(BEEP)
    visit.moment = "while leaving a message"
    spooled = Spooled(uuid.uuid4(), visit.call.id)
    visit.services.post.in_hand.add(spooled)
    handed_over = False
    try:
        found = await _take(visit, spooled, target)
        if isinstance(found, Ending):
            return found
        visit.services.post.hand_over(found)
        handed_over = True
    finally:
        if not handed_over:
            visit.services.post.in_hand.discard(spooled)
    left = Ending(Status.VOICEMAIL, EndedBy.SYSTEM, f"a message of {found.seconds:.0f} s was left")
    return await visit.turn_away(left, GOODBYE)


async def _take(visit: Visit, spooled: Spooled, target: str) -> Voicemail | Ending:
    """The message, its file written; how the call ends if there is none."""
    config = visit.services.config
    try:
        sound = await _record(visit, spooled)
    except AriHttpError as error:
        logger.error("call %s: no message can be recorded: %s", visit.call.id, error)
        return await visit.turn_away(visit.fault(f"no message could be recorded: {error}"), config.fault_prompt)
    seconds = seconds_of(sound)
    if seconds < (visit.route.voicemail_shortest_seconds if visit.route else SHORTEST_SECONDS):
        await visit.ari.recordings.delete(spooled.name)
        return await visit.turn_away(_without_message(visit, seconds), GOODBYE)
    groups = visit.route.groups if visit.route else ()
    message = Voicemail(
        id=spooled.message,
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
        return await keep(message, sound, config.voicemail_folder)
    except OSError as error:
        logger.error("call %s: the message cannot be written: %s", visit.call.id, error)
        return await visit.turn_away(visit.fault("the message could not be written"), config.fault_prompt)


async def _record(visit: Visit, spooled: Spooled) -> bytes:
    """What the caller said, until `#`, a long silence, the longest time, or hanging up. Raises AriError.

    Meanwhile the caller is sent silence: on WhatsApp, media must not pause for seconds.
    """
    longest = visit.route.voicemail_longest_seconds if visit.route else LONGEST_SECONDS
    async with visit.caller.asking():
        await visit.caller.channel.start_silence()
        recording = await visit.caller.channel.record(
            spooled.name,
            FORMAT,
            max_seconds=longest,
            max_silence_seconds=visit.route.voicemail_silence_seconds if visit.route else SILENCE_SECONDS,
            terminate_on="#",
        )
    try:
        await recording.finished(longest + RESERVE_SECONDS)
    except TimeoutError:
        logger.error("call %s: Asterisk did not end the recording of a message: stopped", visit.call.id)
        await recording.stop()
    finally:
        recording.close()
    return await read(visit.ari, spooled)


def _without_message(visit: Visit, seconds: float) -> Ending:
    """The caller said nothing to keep: how the call ends is what it was before."""
    left = f"left no message ({seconds:.1f} s were recorded, too short)"
    if not visit.offers:
        return Ending(Status.USER_ABANDON, EndedBy.SYSTEM, f"the caller {left}")
    result = ending.nobody_answered(visit.offers)
    return replace(result, reason=f"{result.reason}; the caller {left}")
