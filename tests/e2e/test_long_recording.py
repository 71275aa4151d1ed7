"""The recording of a minute: menu, queue and talk on one time line, each side's speech on its own channel."""

import asyncio
import contextlib
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import numpy as np
import pytest

from ari_app.media.measure import find_speech, level_dbfs
from ari_app.media.speech import AGENT_WORDS, CALLER_WORDS, sentence
from ari_app.media.wav import Sound, silence
from ari_app.runtime.phones import Baresip, SipAccount
from ari_app.runtime.stack import Stack, StackOptions

PATIENCE = 20.0
NUMBER = "901"
SECONDS = 60.0


@pytest.fixture(scope="module")
def stack_options() -> StackOptions:
    return StackOptions(bridge=False, simulator=False)


@pytest.fixture
async def database(stack: Stack) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(stack.dsn)
    try:
        await connection.execute(
            f"""
            INSERT INTO pbx.menus (name, prompt) VALUES ('Main', 'sound:demo-congrats');
            INSERT INTO pbx.menu_options VALUES ('Main', '1', 'group:Agents');
            INSERT INTO pbx.routes (number, incoming, menu, entry_prompt)
                VALUES ('{NUMBER}', 'ivr', 'Main', 'sound:beep')
            """
        )
        yield connection
    finally:
        await connection.close()


async def row(database: asyncpg.Connection, query: str) -> asyncpg.Record:
    async with asyncio.timeout(PATIENCE):
        while (found := await database.fetchrow(query)) is None:
            await asyncio.sleep(0.05)
        return found


async def test_a_minute_with_menu_queue_and_talk(stack: Stack, database: asyncpg.Connection, tmp_path: Path) -> None:
    sounds = stack.closure.asterisk_data / "sounds/en"
    caller_says, agent_says = sentence(sounds, CALLER_WORDS), sentence(sounds, AGENT_WORDS)

    def phone(user: str, says: Sound) -> contextlib.AbstractAsyncContextManager[Baresip]:
        account = SipAccount(user, stack.asterisk.phones[user].password, port=stack.asterisk.sip_port)
        turn = says + silence(8.0 - says.duration_s, says.rate)
        return Baresip.start(stack.closure, tmp_path / user, account, microphone=turn)

    async with phone("1002", caller_says) as caller, phone("1001", agent_says) as agent:
        made = await caller.dial(NUMBER)
        await made.established()
        recording = await row(database, "SELECT * FROM pbx.recordings")
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(8)
        await made.press("1")
        ringing = await agent.ringing(timeout=PATIENCE)
        await asyncio.sleep(10)
        await ringing.answer()
        connected = await row(database, "SELECT * FROM pbx.calls WHERE connected_at IS NOT NULL")
        await asyncio.sleep(SECONDS - (asyncio.get_running_loop().time() - began))
        await made.hang_up()
        call = await row(database, "SELECT * FROM pbx.calls WHERE state = 'ended'")
    kept = await row(database, "SELECT *, seconds::float8 AS length FROM pbx.recordings WHERE seconds IS NOT NULL")
    assert kept["fault"] is None
    assert call["path"] == ["menu:Main", "digits:1", "group:Agents"]
    wanted = (call["ended_at"] - recording["started_at"]).total_seconds()
    assert wanted > SECONDS - 1
    assert kept["length"] == pytest.approx(wanted, abs=0.5)

    with wave.open(str(stack.folder / "calls" / kept["file"])) as file:
        assert (file.getnchannels(), file.getframerate()) == (2, 16000)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2) / 32768
    left, right = (Sound(samples[:, side], 16000) for side in (0, 1))
    joined = (connected["connected_at"] - recording["started_at"]).total_seconds()
    assert 17 < joined < 25
    assert find_speech(sentence(sounds, ("demo-congrats",)), right).found or level_dbfs(right.part(1, 7)) > -40
    assert level_dbfs(right.part(joined - 5, joined - 1)) > -50, "music"
    talk = slice(joined + 0.5, wanted - 0.5)
    assert find_speech(agent_says, right.part(talk.start, talk.stop)).found
    assert find_speech(caller_says, left.part(talk.start, talk.stop)).found
    assert find_speech(caller_says, left.part(0, joined)).found, "what the caller says before the agent answers"
    assert not find_speech(caller_says, right).found
    assert not find_speech(agent_says, left).found
    assert not find_speech(agent_says, right.part(0, joined)).found
