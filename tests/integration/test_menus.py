"""IVR menus on a real Asterisk: callers press digits, as the bridge passes them on."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ari_app.ari.events import PlaybackFinished
from ari_app.runtime.stack import Stack, StackOptions
from tests.integration.callers import PATIENCE, House, house_of

AGENTS = """
[test-agents]
exten => sales,1,Answer()
 same => n,Wait(300)
exten => support,1,Answer()
 same => n,Wait(300)
"""

#: Sounds of Asterisk's: one of 20 s or so that can be told from the others, and short ones.
LONG = "sound:demo-congrats"
INVALID = "sound:pbx-invalid"


@pytest.fixture(scope="module")
def stack_options() -> StackOptions:
    return StackOptions(bridge=False, simulator=False, extra_dialplan=AGENTS)


@pytest.fixture
async def house(stack: Stack) -> AsyncIterator[House]:
    async with house_of(stack) as house:
        await house.database.execute(
            "DELETE FROM pbx.calls; DELETE FROM pbx.route_groups; DELETE FROM pbx.groups; DELETE FROM pbx.agents;"
            "UPDATE pbx.routes SET incoming = 'agent_group', menu = NULL, entry_prompt = 'sound:beep';"
            "DELETE FROM pbx.menus; DELETE FROM pbx.schedules"
        )
        for group, extension in (("Sales", "1001"), ("Support", "1002")):
            await house.database.execute(
                "WITH agent AS (INSERT INTO pbx.agents (name, endpoint, extension, voip_only) "
                "               VALUES ($1, $2, $3, true) RETURNING id), "
                "     team AS (INSERT INTO pbx.groups (name, join_empty, leave_empty) VALUES ($4, 'always', 'never')) "
                "INSERT INTO pbx.group_members (group_name, agent_id) SELECT $4, id FROM agent",
                f"Agent {group}",
                f"Local/{group.lower()}@test-agents",
                extension,
                group,
            )
        await menu(
            house,
            "Main",
            {"1": "group:Sales", "2": "group:Support", "3": "menu:More", "21": "group:Sales", "9": "back"},
            prompt=LONG,
        )
        await house.database.execute("UPDATE pbx.routes SET incoming = 'ivr', menu = 'Main'")
        yield house
        async with asyncio.timeout(PATIENCE):
            while await house.ari.channels.list() or await house.ari.bridges.list():
                await asyncio.sleep(0.05)


async def menu(house: House, name: str, options: dict[str, str], **columns: object) -> None:
    row: dict[str, object] = {"name": name, "prompt": "sound:beep", "invalid_prompt": INVALID}
    row |= {"timeout_seconds": 1, "digit_seconds": 1, "retries": 1} | columns
    places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    await house.database.execute(f"INSERT INTO pbx.menus ({', '.join(row)}) VALUES ({places})", *row.values())
    for digits, destination in options.items():
        await house.database.execute("INSERT INTO pbx.menu_options VALUES ($1, $2, $3)", name, digits, destination)


async def agent_of(house: House, call: dict[str, Any]) -> str:
    return str(await house.database.fetchval("SELECT name FROM pbx.agents WHERE id = $1", call["agent_id"]))


async def test_a_digit_interrupts_the_prompt_and_leads_to_the_right_group(house: House) -> None:
    async with house.caller() as caller:
        await caller.hears(LONG)
        pressed = time.monotonic()
        await caller.press("1")
        await caller.all_events.wait_for(
            PlaybackFinished, timeout=PATIENCE, where=lambda event: event.playback.media_uri == LONG
        )
        assert time.monotonic() - pressed < 1.0
        call = await house.record("connected")
        assert await agent_of(house, call) == "Agent Sales"
        await caller.hang_up()
    call = await house.record()
    assert call["status"] == "Answered"
    assert call["path"] == ["menu:Main", "digits:1", "group:Sales"]


@pytest.mark.parametrize(
    ("pressed", "between", "group", "digits"),
    [("2", 60, "Support", "2"), ("21", 60, "Sales", "21"), ("2#", 60, "Support", "2#"), ("21", 2000, "Support", "2")],
)
async def test_an_option_that_begins_another_waits_for_the_next_digit(
    house: House, pressed: str, between: int, group: str, digits: str
) -> None:
    async with house.caller() as caller:
        await caller.hears(LONG)
        await caller.press(pressed, between=between)
        call = await house.record("connected")
        assert call["path"] == ["menu:Main", f"digits:{digits}", f"group:{group}"]
        await caller.hang_up()


async def test_digits_typed_ahead_choose_in_the_next_menu(house: House) -> None:
    await menu(house, "More", {"1": "group:Support", "*": "back"}, prompt=LONG)
    async with house.caller() as caller:
        await caller.hears(LONG)
        await caller.press("3*31")
        call = await house.record("connected")
        assert await agent_of(house, call) == "Agent Support"
        assert call["path"] == [
            *("menu:Main", "digits:3", "menu:More", "digits:*", "menu:Main"),
            *("digits:3", "menu:More", "digits:1", "group:Support"),
        ]
        await caller.hang_up()


async def test_who_knows_the_menu_types_during_the_entry_prompt_already(house: House) -> None:
    await house.database.execute("UPDATE pbx.routes SET entry_prompt = $1", LONG)
    async with house.caller() as caller:
        await caller.hears(LONG)
        await caller.press("21", between=200)
        call = await house.record("connected")
        assert await agent_of(house, call) == "Agent Sales"
        assert call["path"] == ["menu:Main", "digits:21", "group:Sales"]
        await caller.hang_up()


async def test_back_in_the_first_menu_plays_it_again(house: House) -> None:
    async with house.caller() as caller:
        await caller.hears(LONG)
        await caller.press("9")
        await caller.hears(LONG)
        await caller.hang_up()
    call = await house.record()
    assert call["path"] == ["menu:Main", "digits:9", "menu:Main"]
    assert (call["status"], call["reason"]) == ("User Abandon", "the caller hung up in the menu Main")


async def test_who_presses_nothing_right_hears_so_and_leaves_by_no_input(house: House) -> None:
    await house.database.execute("UPDATE pbx.menus SET prompt = 'sound:vm-press', no_input = 'group:Support'")
    async with house.caller() as caller:
        await caller.hears("sound:vm-press")
        await caller.press("7")
        await caller.hears(INVALID)
        call = await house.record("connected")
        assert call["path"] == ["menu:Main", "digits:7", "no valid input", "group:Support"]
        await caller.hang_up()


async def test_who_presses_nothing_is_asked_again_and_then_leaves_by_no_input(house: House) -> None:
    await house.database.execute("UPDATE pbx.menus SET prompt = 'sound:vm-press', no_input = 'hangup'")
    async with house.caller() as caller:
        for _ in range(2):
            await caller.hears("sound:vm-press")
        await caller.is_hung_up()
    assert (await house.record())["path"] == ["menu:Main", "no valid input", "hangup"]


async def test_an_agents_extension_can_be_dialled_where_the_menu_allows_it(house: House) -> None:
    await house.database.execute("UPDATE pbx.menus SET direct_dial = true")
    async with house.caller() as caller:
        await caller.hears(LONG)
        await caller.press("1002")
        call = await house.record("connected")
        assert await agent_of(house, call) == "Agent Support"
        assert call["path"][:3] == ["menu:Main", "digits:1002", "agent:1002"]
        await caller.hang_up()


async def test_a_menu_has_its_language(house: House) -> None:
    await house.database.execute("UPDATE pbx.menus SET language = 'de'")
    async with house.caller() as caller:
        await caller.hears(LONG)
        languages = [c.data.language for c in await house.ari.channels.list() if c.data and c.data.name.endswith(";2")]
        assert languages == ["de"]
        await caller.hang_up()


async def test_a_closed_menu_sends_its_callers_elsewhere(house: House) -> None:
    await house.database.execute("INSERT INTO pbx.schedules VALUES ('Never', 'Europe/Berlin')")
    await house.database.execute("UPDATE pbx.menus SET schedule = 'Never', closed = 'group:Support'")
    async with house.caller() as caller:
        call = await house.record("connected")
        assert call["path"] == ["menu:Main", "closed", "group:Support"]
        await caller.hang_up()


async def test_an_ai_agent_is_not_there_yet_and_the_numbers_group_is(house: House) -> None:
    await house.database.execute("UPDATE pbx.routes SET incoming = 'ai_agent', menu = NULL")
    await house.database.execute("INSERT INTO pbx.route_groups VALUES ($1, 1, 'Support')", house.number)
    async with house.caller() as caller:
        await caller.hears("sound:vm-isunavail")
        call = await house.record("connected")
        assert call["path"] == ["ai_agent", "not available", "group:Support"]
        await caller.hang_up()


async def test_a_missing_menu_is_told(house: House) -> None:
    await house.database.execute("UPDATE pbx.menu_options SET destination = 'menu:Gone' WHERE digits = '3'")
    async with house.caller() as caller:
        await caller.hears(LONG)
        await caller.press("3")
        await caller.is_hung_up()
    call = await house.record()
    assert (call["status"], call["reason"]) == ("Failed", "there is no menu Gone")
