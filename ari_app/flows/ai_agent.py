"""The place of an AI agent. There is none yet: callers are told, and go to the agents of their number."""

import logging

from ari_app.calls.destination import Destination, Kind
from ari_app.calls.ending import EndedBy, Ending, Status
from ari_app.flows.visit import Visit

logger = logging.getLogger(__name__)

#: "… is not available", in Asterisk's own words.
NOT_AVAILABLE = "sound:vm-isunavail"


async def offer_ai_agent(visit: Visit, target: str) -> Destination | Ending:
    """Say that it is not available, then go on to the route's groups, if it has any. Raises CallerLeft."""
    visit.moment = "while being told that the AI agent is not available"
    logger.warning("call %s: the AI agent is not available", visit.call.id)
    await visit.step("not available")
    groups = visit.route.groups if visit.route else ()
    if not groups:
        result = Ending(Status.FAILED, EndedBy.SYSTEM, "the AI agent is not available, and the number has no groups")
        return await visit.turn_away(result, visit.services.config.fault_prompt)
    await visit.play(NOT_AVAILABLE)
    return Destination(Kind.GROUP, groups[0])
