"""IVR menus: a prompt, digits, and where they lead."""

import asyncio
import logging

from ari_app.ari import Playback
from ari_app.ari.events import ChannelDtmfReceived, Event, PlaybackFinished
from ari_app.calls.destination import Destination, Kind
from ari_app.calls.ending import Ending
from ari_app.calls.hours import ScheduleError
from ari_app.calls.menu import Back, Choice, Menu, Verdict
from ari_app.flows.entrance import now
from ari_app.flows.legs import PROMPT_SECONDS
from ari_app.flows.visit import Visit
from ari_app.store.database import StoreError

logger = logging.getLogger(__name__)


async def offer_menu(visit: Visit, target: str) -> Destination | Ending:
    """Play the menu `target` and take the caller's digits; where they lead. Raises CallerLeft."""
    visit.moment = f"in the menu {target}"
    try:
        menu = await visit.services.menus.find(target)
    except StoreError as error:
        logger.error("call %s: menu %s cannot be read: %s", visit.call.id, target, error)
        return await _broken(visit, f"the menu {target} could not be read")
    if menu is None:
        logger.error("call %s: there is no menu %s", visit.call.id, target)
        return await _broken(visit, f"there is no menu {target}")
    _enter(visit, menu)
    if menu.closed is not None and not await _is_open(visit, menu):
        await visit.step("closed")
        return menu.closed
    if menu.language is not None:
        async with visit.caller.asking():
            await visit.caller.channel.set_variable("CHANNEL(language)", menu.language)
    choice = await _choose(visit, menu)
    if isinstance(choice, Back):
        return _back(visit, menu)
    return choice


async def _choose(visit: Visit, menu: Menu) -> Choice:
    """Ask until something valid is typed; `no_input` when all tries are used up."""
    media = [menu.prompt]
    for _ in range(1 + menu.retries):
        typed = await _ask(visit, menu, media)
        if typed:
            await visit.step(f"digits:{typed}")
        if (entry := menu.entries.entry(typed)) is not None:
            return menu.chosen(entry)
        media = [menu.invalid_prompt, menu.prompt] if typed else [menu.prompt]
    await visit.step("no valid input")
    return menu.no_input


async def _ask(visit: Visit, menu: Menu, media: list[str]) -> str:
    """Play `media`, which any digit interrupts, and which is left out for a caller who has typed already; what was
    typed, empty if nothing was.
    """
    loop = asyncio.get_running_loop()
    uris = [await visit.services.prompts.uri(each) for each in media]
    entries, typed, visit.typed = menu.entries, visit.typed, ""
    if typed and entries.judge(typed) is not Verdict.OPEN:
        return typed
    playback = None
    if not typed:
        async with visit.caller.asking():
            playback = await visit.caller.channel.play(uris)
    playing, deadline = playback is not None, loop.time() + (menu.digit_seconds if typed else PROMPT_SECONDS)
    try:
        while True:
            try:
                event = await visit.caller.wait_for(
                    Event,
                    timeout=max(0.0, deadline - loop.time()),
                    where=lambda event: _concerns(event, visit.caller.id, playback),
                )
            except TimeoutError:
                return typed
            match event:
                case PlaybackFinished():
                    if event.playback.state == "failed":
                        logger.warning("menu %s: %s cannot be played: is the sound installed?", menu.name, uris)
                    if playing:
                        playing, deadline = False, loop.time() + menu.timeout_seconds
                case ChannelDtmfReceived():
                    if playback is not None and playing:
                        playing = False
                        await playback.stop()
                    typed += event.digit
                    if entries.judge(typed) is not Verdict.OPEN:
                        return typed
                    deadline = loop.time() + menu.digit_seconds
    finally:
        if playback is not None:
            if playing:
                await playback.stop()
            playback.close()


def _concerns(event: Event, caller_id: str, playback: Playback | None) -> bool:
    match event:
        case PlaybackFinished():
            return playback is not None and event.playback.id == playback.id
        case ChannelDtmfReceived():
            return event.channel.id == caller_id
    return False


async def _is_open(visit: Visit, menu: Menu) -> bool:
    """Hours that cannot be read close nothing: callers are worth more than a menu's night branch."""
    if menu.schedule is None:
        return True
    try:
        schedule = await visit.services.schedules.find(menu.schedule)
    except (StoreError, ScheduleError) as error:
        logger.error("call %s: menu %s counts as open: %s", visit.call.id, menu.name, error)
        return True
    return schedule is None or schedule.is_open(now())


def _enter(visit: Visit, menu: Menu) -> None:
    """Remember the way in, for `back`."""
    if visit.menus[-1:] != [menu.name]:
        visit.menus.append(menu.name)


def _back(visit: Visit, menu: Menu) -> Destination:
    """To the menu from which this one was entered; the first one is played again."""
    if len(visit.menus) > 1:
        visit.menus.pop()
    return Destination(Kind.MENU, visit.menus[-1])


async def _broken(visit: Visit, reason: str) -> Ending:
    return await visit.turn_away(visit.fault(reason), visit.services.config.fault_prompt)
