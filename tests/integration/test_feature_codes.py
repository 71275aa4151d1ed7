"""Agents dial codes on real phones: their state changes, queues are told, and the phone speaks."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest

from ari_app.media.measure import find_speech
from ari_app.media.speech import sentence
from ari_app.media.wav import Sound, read_wav
from ari_app.runtime.phones import Baresip, SipAccount
from ari_app.runtime.stack import Stack, StackOptions

PATIENCE = 20.0


@pytest.fixture(scope="module")
def stack_options() -> StackOptions:
    return StackOptions(bridge=False, simulator=False)


@dataclass
class Desk:
    stack: Stack
    database: asyncpg.Connection
    phone: Baresip
    folder: Path
    told: list[str] = field(default_factory=list)

    async def dial(self, code: str) -> Sound:
        """What the phone plays until Asterisk hangs up."""
        call = await self.phone.dial(code)
        await call.closed(timeout=PATIENCE)
        # an answer within some ms is quicker than the phone's own bookkeeping of which call a file belongs to
        return read_wav(max(self.folder.glob("heard-*.wav"), key=lambda path: path.stat().st_mtime))

    async def state(self) -> asyncpg.Record:
        row = await self.database.fetchrow("SELECT * FROM pbx.agent_states")
        assert row is not None
        return row

    def says(self, heard: Sound, *words: str) -> bool:
        return all(
            find_speech(sentence(self.stack.closure.asterisk_data / "sounds/en", (w,)), heard).found for w in words
        )


async def desk_of(stack: Stack, user: str, folder: Path) -> AsyncIterator[Desk]:
    database = await asyncpg.connect(stack.dsn)
    account = SipAccount(user, stack.asterisk.phones[user].password, port=stack.asterisk.sip_port)
    try:
        await database.execute("UPDATE pbx.agent_states SET logged_in = true, pause_reason = NULL, misses = 0")
        async with Baresip.start(stack.closure, folder, account) as phone:
            desk = Desk(stack, database, phone, folder)
            await database.add_listener("pbx_queue", lambda *event: desk.told.append(str(event[-1])))
            yield desk
    finally:
        await database.close()


@pytest.fixture
async def desk(stack: Stack, tmp_path: Path) -> AsyncIterator[Desk]:
    async for desk in desk_of(stack, "1001", tmp_path):
        yield desk


@pytest.fixture
async def strangers_desk(stack: Stack, tmp_path: Path) -> AsyncIterator[Desk]:
    async for desk in desk_of(stack, "1004", tmp_path):
        yield desk


async def test_an_agent_logs_out_and_in_again(desk: Desk) -> None:
    assert desk.says(await desk.dial("*62"), "agent-loggedoff")
    assert not (await desk.state())["logged_in"]
    await desk.database.execute("UPDATE pbx.agent_states SET pause_reason = 'Lunch', misses = 3")
    assert desk.says(await desk.dial("*61"), "agent-loginok")
    state = await desk.state()
    assert (state["logged_in"], state["pause_reason"], state["misses"]) == (True, None, 0)


@pytest.mark.parametrize(("code", "reason"), [("*63", "Paused"), ("*632", "Lunch"), ("*639", "Reason 9")])
async def test_an_agent_pauses_with_a_reason_and_takes_calls_again(desk: Desk, code: str, reason: str) -> None:
    assert desk.says(await desk.dial(code), "do-not-disturb", "activated")
    assert (await desk.state())["pause_reason"] == reason
    assert desk.says(await desk.dial("*64"), "do-not-disturb", "de-activated")
    assert (await desk.state())["pause_reason"] is None


async def test_the_queues_are_told(desk: Desk) -> None:
    agent = await desk.database.fetchval("SELECT agent_id FROM pbx.agent_states")
    desk.told.clear()
    await desk.dial("*63")
    async with asyncio.timeout(PATIENCE):
        while f"agent:{agent}" not in desk.told:
            await asyncio.sleep(0.02)


async def test_a_phone_of_no_agent_is_refused_in_words(strangers_desk: Desk) -> None:
    before = await strangers_desk.state()
    assert strangers_desk.says(await strangers_desk.dial("*62"), "im-sorry", "feature-not-avail-line")
    assert await strangers_desk.state() == before


async def test_while_the_application_is_away_the_phone_says_so(desk: Desk) -> None:
    await desk.stack.app.stop()
    try:
        assert desk.says(await desk.dial("*62"), "im-sorry", "please-try-call-later")
        assert (await desk.state())["logged_in"]
    finally:
        await desk.stack.app.start()


async def test_while_postgresql_is_away_the_phone_says_so(desk: Desk) -> None:
    await desk.database.execute("ALTER TABLE pbx.agent_states RENAME TO agent_states_away")
    try:
        assert desk.says(await desk.dial("*62"), "im-sorry", "please-try-call-later")
    finally:
        await desk.database.execute("ALTER TABLE pbx.agent_states_away RENAME TO agent_states")
