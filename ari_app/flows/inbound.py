"""An incoming call: may it come in, answer, entry prompt, and then from destination to destination."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from ari_app.ari import AriError
from ari_app.calls import ending
from ari_app.calls.destination import Destination, Kind
from ari_app.calls.ending import Ending
from ari_app.flows.ai_agent import offer_ai_agent
from ari_app.flows.cleanup import cleaning_up
from ari_app.flows.dialplan import go_on_in_dialplan
from ari_app.flows.gate import admit
from ari_app.flows.journal import LAST_WRITE_SECONDS
from ari_app.flows.legs import CallerLeft
from ari_app.flows.menu import offer_menu
from ari_app.flows.permission_prompt import permission_prompt
from ari_app.flows.queue import wait_for_agent, wait_for_this_agent
from ari_app.flows.recording import start_recording
from ari_app.flows.sip_target import forward
from ari_app.flows.visit import Visit
from ari_app.flows.voicemail import leave_message
from ari_app.store.database import StoreError

logger = logging.getLogger(__name__)

#: Limit for the last write of a call that ends because the application stops, s.
STOP_WRITE_SECONDS = 3.0

#: Further steps of one call are a loop in the configuration.
MAX_STEPS = 50


async def serve(visit: Visit) -> None:
    """Serve the caller. Whatever happens, all legs end, all is given back, and the record says why."""
    await conclude(visit, _serve)


async def conclude(visit: Visit, stages: Callable[[Visit], Awaitable[Ending]]) -> None:
    """Let a call go through its stages; whatever happens in them, everything is given back, and the record says why."""
    try:
        result = await stages(visit)
    except CallerLeft:
        result = visit.caller_left()
    except AriError as error:
        logger.error("call %s cannot go on: %s", visit.call.id, error)
        result = visit.fault(f"Asterisk: {error}")
    except asyncio.CancelledError:
        with cleaning_up():
            await visit.finish(visit.fault("the application was stopped"), STOP_WRITE_SECONDS)
        raise
    except Exception as error:
        logger.exception("call %s cannot go on: a fault of ours", visit.call.id)
        result = visit.fault(f"internal error ({type(error).__name__})")
    await visit.finish(result, LAST_WRITE_SECONDS)


async def _serve(visit: Visit) -> Ending:
    """The stages. How the call ended; legs may still be there."""
    await visit.save()
    logger.info("call %s: %s to %s", visit.call.id, visit.call.channel_type, visit.call.number)
    config, number = visit.services.config, visit.call.number
    try:
        visit.route = await visit.services.routes.find(number)
    except StoreError as error:
        logger.error("call %s: no route can be read: %s", visit.call.id, error)
        await _answer(visit)
        return await visit.turn_away(visit.fault("the routes could not be read"), config.fault_prompt)
    if visit.route is None:
        logger.warning("call %s: no route for number %s", visit.call.id, number)
        await _answer(visit)
        return await visit.turn_away(ending.no_route(number), config.no_route_prompt)
    if (refusal := await admit(visit)) is not None:
        return refusal
    await _answer(visit)
    visit.remark = await permission_prompt(visit)
    await start_recording(visit)
    visit.moment = "during the entry prompt"
    first = visit.route.first
    if first.kind is Kind.MENU:
        await visit.play_before_menu(visit.route.entry_prompt)
    else:
        await visit.play(visit.route.entry_prompt)
    return await follow(visit, first)


async def _answer(visit: Visit) -> None:
    """Meta gives up after 30 to 60 s without an answer, so we answer before the prompts."""
    async with visit.caller.asking():
        await visit.caller.channel.answer()


async def follow(visit: Visit, destination: Destination) -> Ending:
    """Go where each stage sends the caller, until one ends the call."""
    for _ in range(MAX_STEPS):
        await visit.step(str(destination))
        after = await _go(visit, destination)
        if isinstance(after, Ending):
            return after
        destination = after
    return visit.fault(f"more than {MAX_STEPS} destinations: a loop in the configuration")


async def _go(visit: Visit, destination: Destination) -> Destination | Ending:
    match destination.kind:
        case Kind.GROUP:
            return await wait_for_agent(visit, destination.target)
        case Kind.AGENT:
            return await wait_for_this_agent(visit, destination.target)
        case Kind.MENU:
            return await offer_menu(visit, destination.target)
        case Kind.SIP:
            return await forward(visit, destination.target)
        case Kind.AI_AGENT:
            return await offer_ai_agent(visit, destination.target)
        case Kind.VOICEMAIL:
            return await leave_message(visit, destination.target)
        case Kind.DIALPLAN:
            return await go_on_in_dialplan(visit, destination.target)
        case Kind.HANGUP:
            result = ending.nobody_answered(visit.offers, visit.notes)
            return await visit.turn_away(result, destination.target) if destination.target else result
