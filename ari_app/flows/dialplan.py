"""On into the dialplan of the PBX: our part of the call ends there."""

import logging
import re

from ari_app.calls.destination import Destination
from ari_app.calls.ending import EndedBy, Ending, Status
from ari_app.flows.entrance import now
from ari_app.flows.visit import Visit

logger = logging.getLogger(__name__)

#: As in the database (pbx.destination): what cannot be read as anything but a place.
PLACE = re.compile(r"([A-Za-z0-9_-]{1,79}),([A-Za-z0-9_*#+-]{1,79})")


async def go_on_in_dialplan(visit: Visit, target: str) -> Destination | Ending:
    """Send the caller to `context,extension`. Raises CallerLeft.

    The call counts as connected from then on, to something that we do not know: the CDR tells the rest.
    """
    visit.moment = "on the way into the dialplan"
    config = visit.services.config
    place = PLACE.fullmatch(target)
    if place is None:
        return await visit.turn_away(visit.fault(f"{target!r} is no place in the dialplan"), config.fault_prompt)
    context, extension = place.groups()
    if not visit.services.guard.may_enter(visit.call, context):
        words = visit.services.guard.refuse(
            visit.call, f"the dialplan context {context}", f'write voip_contexts = ["{context}"] in [app]'
        )
        return await visit.turn_away(Ending(Status.FAILED, EndedBy.SYSTEM, words), config.fault_prompt)
    async with visit.caller.asking():
        exists = await visit.caller.channel.get_variable(f"DIALPLAN_EXISTS({context},{extension},1)")
    if exists != "1":
        logger.error("call %s: the dialplan has no %s in %s", visit.call.id, extension, context)
        reason = f"the dialplan has no extension {extension} in context {context}"
        return await visit.turn_away(visit.fault(reason), config.fault_prompt)
    async with visit.caller.asking():
        await visit.caller.channel.continue_in_dialplan(context=context, extension=extension, priority=1)
    visit.handed_over = True
    visit.call = visit.call.connected(None, now())
    return Ending(Status.ANSWERED, EndedBy.SYSTEM, f"went on in the dialplan ({context},{extension})")
