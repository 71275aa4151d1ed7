"""Forwarding to the customer's own SIP systems: the first one that answers gets the call."""

import logging
import random
from collections.abc import Mapping, Sequence

from ari_app.ari import AriHttpError
from ari_app.calls.call import State
from ari_app.calls.destination import Destination
from ari_app.calls.ending import EndedBy, Ending, Status
from ari_app.calls.route import Incoming
from ari_app.calls.sip_target import SipTarget, headers, in_order
from ari_app.flows.legs import CallerLeft
from ari_app.flows.talk import join, talk
from ari_app.flows.target_health import Health
from ari_app.flows.target_leg import TargetLeg
from ari_app.flows.visit import Visit
from ari_app.store.database import StoreError

logger = logging.getLogger(__name__)

#: What callers hear when no target took the call.
NOBODY = "sound:vm-nobodyavail"

#: Any of them will do: who gets the next call is no secret.
_chance = random.Random()


async def forward(visit: Visit, target: str) -> Destination | Ending:
    """Call the number's SIP targets in turn, and stay with the one that answers. Raises CallerLeft."""
    visit.moment = "before a SIP target was called"
    if visit.route is None:
        return await _turn_away(visit, visit.fault("a call without a route has no SIP targets"))
    try:
        targets = await visit.services.sip_targets.find(visit.call.number, visit.route.incoming)
    except StoreError as error:
        logger.error("call %s: SIP targets cannot be read: %s", visit.call.id, error)
        return await _turn_away(visit, visit.fault("the SIP targets could not be read"))
    found = await _first_to_answer(visit, in_order(targets, _chance), visit.route.incoming)
    if isinstance(found, Ending):
        return await _turn_away(visit, found)
    try:
        return await talk(visit, found.channel, str(found.target))
    except CallerLeft:
        return Ending(Status.ANSWERED, EndedBy.USER, f"the caller hung up, who talked to {found.target}")


async def _first_to_answer(visit: Visit, targets: Sequence[SipTarget], incoming: Incoming) -> TargetLeg | Ending:
    """The leg that the caller is joined to; how the call ends if there is none. Raises CallerLeft.

    Callers hear music meanwhile. A ringing tone would be nearer, but a channel on which ARI plays a tone is not read:
    nothing of the caller is recorded, and a variable that is set waits for the tone's end (measured, 22.10.1).
    """
    told = await _headers(visit)
    failures: list[str] = []
    reached = False
    async with visit.caller.asking():
        await visit.caller.channel.start_moh()
    for target in targets:
        if (reason := await _barred(visit, target)) is None:
            leg = TargetLeg(visit, target)
            if (reason := await _try(visit, leg, told)) is None:
                return leg
            reached = reached or leg.was_there
        failures.append(f"{target}: {reason}")
        logger.info("call %s: %s: %s", visit.call.id, target, reason)
    async with visit.caller.asking():
        await visit.caller.channel.stop_moh()
    if not failures:
        return Ending(Status.FAILED, EndedBy.SYSTEM, f"the number has no SIP target for calls of type {incoming}")
    await visit.step("no SIP target took the call")  # and it counts as a call of none
    status = Status.MISSED if reached else Status.FAILED
    return Ending(status, EndedBy.SYSTEM, "; ".join(failures))


async def _try(visit: Visit, leg: TargetLeg, told: Mapping[str, str]) -> str | None:
    """None when the target answered and is joined to the caller, else why not. Raises CallerLeft."""
    visit.moment = f"while {leg.target} was called"
    if visit.call.state is not State.RINGING:
        visit.call = visit.call.ringing()
    await visit.step(step_of(leg.target))
    reason = await leg.call(visit.services.config.sip_target_ring_seconds, told)
    if reason is None:
        async with visit.caller.asking():
            await visit.caller.channel.stop_moh()
        if await join(visit, leg.channel, None):
            await visit.save()
            return None
        async with visit.caller.asking():
            await visit.caller.channel.start_moh()
        reason = "hung up before the call was joined"
    await leg.stop()
    return reason


async def _barred(visit: Visit, target: SipTarget) -> str | None:
    """Why the target is not even called; None when it may be, and the call counts as one of its calls."""
    guard, call = visit.services.guard, visit.call
    if not guard.may_join(call, voip_only=target.voip_only):
        return guard.refuse(call, str(target))
    try:
        health = await visit.services.target_health.of(target)
    except AriHttpError as error:
        logger.warning("call %s: Asterisk does not tell how %s is: %s", call.id, target, error)
        health = Health.UNKNOWN
    if health is Health.UNREACHABLE:
        return "does not answer OPTIONS"
    if not await visit.services.sip_targets.take(call.id, call.number, target, step_of(target)):
        return f"has {target.max_calls} calls already"
    return None


def step_of(target: SipTarget) -> str:
    """How a call at this target is noted in the path; calls at a target are counted by it."""
    return f"sip:{target.address}"


async def _headers(visit: Visit) -> Mapping[str, str]:
    async with visit.caller.asking():
        return headers(
            call_id=visit.call.whatsapp_call_id,
            number_id=await visit.caller.channel.get_variable("WHATSAPP_NUMBER_ID"),
            payload=await visit.caller.channel.get_variable("WHATSAPP_PAYLOAD"),
        )


async def _turn_away(visit: Visit, result: Ending) -> Ending:
    return await visit.turn_away(result, NOBODY)
