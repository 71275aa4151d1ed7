"""Recording two who talk already: the consent prompt is played to both, and the recording begins after it."""

import logging

from ari_app.ari import AriHttpError
from ari_app.ari.events import Event, PlaybackFinished
from ari_app.flows.legs import PROMPT_SECONDS, left
from ari_app.flows.recording import begin_recording
from ari_app.flows.visit import Visit

logger = logging.getLogger(__name__)


async def record_after_consent(visit: Visit) -> bool:
    """Record as the number's route says. False when the agent hangs up during the prompt. Raises CallerLeft.

    Where the prompt cannot be played, there is no recording.
    """
    route = visit.route
    if route is None or not route.recording:
        return True
    if route.consent_prompt is not None:
        try:
            if not await _play_to_both(visit, route.consent_prompt):
                return False
        except AriHttpError as error:
            logger.error(
                "call %s is not recorded: its consent prompt cannot be played (%s). Is chan_bridge_media loaded?",
                visit.call.id,
                error,
            )
            return True
    await begin_recording(visit, route.recording_days)
    return True


async def _play_to_both(visit: Visit, media: str) -> bool:
    """To its end; False when the agent hangs up. Raises CallerLeft, AriHttpError."""
    bridge = visit.bridge
    if bridge is None:
        raise RuntimeError("they do not talk")
    subject = f"bridge:{bridge.id}"
    visit.caller.events.watch(subject)
    try:
        with await bridge.play(await visit.services.prompts.uri(media)) as playback:
            event = await visit.caller.wait_for(
                Event,
                timeout=PROMPT_SECONDS,
                where=lambda event: (
                    left(event, visit.desk)
                    or (isinstance(event, PlaybackFinished) and event.playback.id == playback.id)
                ),
            )
    except TimeoutError:
        logger.warning("prompt %s is longer than %g s", media, PROMPT_SECONDS)
        return True
    finally:
        visit.caller.events.unwatch(subject)
    return not left(event, visit.desk)
