"""Recordings of calls on a real Asterisk: real phones talk, and the file tells who said what, and when."""

import asyncio
import contextlib
import resource
import wave
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import numpy as np
import pytest

from ari_app.media.measure import find_speech, level_dbfs, tone_spans
from ari_app.media.speech import sentence
from ari_app.media.wav import Sound, read_wav, sine
from ari_app.runtime import sipp
from ari_app.runtime.phone_call import PhoneCall
from ari_app.runtime.phones import Baresip, SipAccount
from ari_app.runtime.sipp import SippPhone
from ari_app.runtime.stack import Stack, StackOptions

#: Longer than anything here takes on a machine that has other things to do.
PATIENCE = 20.0
CALLER_HZ, AGENT_HZ = 1000, 440
NUMBER = "901"


@pytest.fixture(scope="module")
def stack_options() -> StackOptions:
    return StackOptions(bridge=False, simulator=False)


@dataclass
class Heard:
    """A stereo file, channel by channel."""

    caller: Sound
    heard: Sound


def read_stereo(path: Path) -> Heard:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 16000)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2) / 32768
    return Heard(Sound(samples[:, 0], 16000), Sound(samples[:, 1], 16000))


def seconds_of(sound: Sound, hertz: int) -> float:
    """How long a tone sounds in all."""
    return sum(end - start for start, end in tone_spans(sound, hertz, min_s=0.2))


@dataclass
class Office:
    stack: Stack
    database: asyncpg.Connection
    caller: Baresip
    agent: Baresip

    @property
    def folder(self) -> Path:
        return self.stack.folder / "calls"

    @property
    def spool(self) -> Path:
        return self.stack.folder / "asterisk/spool/recording"

    async def route(self, column: str, value: object) -> None:
        await self.database.execute(f"UPDATE pbx.routes SET {column} = $1 WHERE number = $2", value, NUMBER)

    async def connect(self) -> tuple[PhoneCall, PhoneCall]:
        """A call that the agent has taken."""
        made = await self.caller.dial(NUMBER)
        taken = await self.agent.ringing(timeout=PATIENCE)
        await taken.answer()
        await self.call("connected")
        return made, taken

    async def call(self, state: str) -> asyncpg.Record:
        """The newest call, as soon as it has this state."""
        return await self._row("SELECT * FROM pbx.calls WHERE state = $1 ORDER BY received_at DESC LIMIT 1", state)

    async def recording(self) -> asyncpg.Record:
        """The recording of the newest call, as soon as it is settled."""
        call = await self.call("ended")
        return await self._row(
            "SELECT *, seconds::float8 AS length FROM pbx.recordings "
            "WHERE call_id = $1 AND (seconds IS NOT NULL OR fault IS NOT NULL)",
            call["id"],
        )

    async def _row(self, query: str, *arguments: object) -> asyncpg.Record:
        async with asyncio.timeout(PATIENCE):
            while (row := await self.database.fetchrow(query, *arguments)) is None:
                await asyncio.sleep(0.05)
            return row

    async def is_empty(self) -> None:
        """Nothing of any call is left in Asterisk."""
        async with asyncio.timeout(PATIENCE):
            while "0 active channels" not in await self.stack.asterisk.cli("core show channels"):
                await asyncio.sleep(0.1)

    async def spool_is_empty(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while list(self.spool.iterdir()):
                await asyncio.sleep(0.1)


def account(stack: Stack, user: str) -> SipAccount:
    return SipAccount(user, stack.asterisk.phones[user].password, port=stack.asterisk.sip_port)


@pytest.fixture
async def office(stack: Stack, tmp_path: Path) -> AsyncIterator[Office]:
    database = await asyncpg.connect(stack.dsn)
    try:
        await database.execute("DELETE FROM pbx.calls")
        await database.execute("DELETE FROM pbx.routes WHERE number = $1", NUMBER)
        await database.execute(
            "INSERT INTO pbx.routes (number, calling_enabled, entry_prompt) VALUES ($1, true, 'sound:tt-weasels')",
            NUMBER,
        )
        await database.execute(
            "INSERT INTO pbx.route_groups (number, position, group_name) "
            "SELECT $1, 1, group_name FROM pbx.route_groups LIMIT 1",
            NUMBER,
        )
        await database.execute("UPDATE pbx.groups SET wrap_up_seconds = 0")
        async with (
            Baresip.start(
                stack.closure, tmp_path / "1002", account(stack, "1002"), microphone=sine(CALLER_HZ, 90, 48000, -20)
            ) as caller,
            Baresip.start(
                stack.closure, tmp_path / "1001", account(stack, "1001"), microphone=sine(AGENT_HZ, 90, 48000, -20)
            ) as agent,
        ):
            office = Office(stack, database, caller, agent)
            yield office
            await office.is_empty()
    finally:
        await database.close()


async def test_prompt_queue_and_talk_are_on_one_time_line_each_side_on_its_channel(office: Office) -> None:
    made = await office.caller.dial(NUMBER)
    taken = await office.agent.ringing(timeout=PATIENCE)
    await asyncio.sleep(2)  # music
    await taken.answer()
    connected = (await office.call("connected"))["connected_at"]
    await asyncio.sleep(3)
    await made.hang_up()
    row = await office.recording()
    call = await office.call("ended")
    assert row["fault"] is None
    assert row["file"] == f"{row['started_at']:%Y/%m/%d}/{call['id']}.wav"
    wanted = (call["ended_at"] - row["started_at"]).total_seconds()
    assert (row["started_at"] - call["received_at"]).total_seconds() < 0.5  # answered at once
    assert row["length"] == pytest.approx(wanted, abs=0.5)

    both = read_stereo(office.folder / row["file"])
    assert both.caller.duration_s == pytest.approx(row["length"], abs=0.01)
    assert seconds_of(both.caller, CALLER_HZ) == pytest.approx(row["length"], abs=0.5)
    assert seconds_of(both.caller, AGENT_HZ) == 0
    assert seconds_of(both.heard, CALLER_HZ) == 0
    talk_at = (connected - row["started_at"]).total_seconds()
    talk = both.heard.part(talk_at + 0.3, talk_at + 2.7)
    assert seconds_of(talk, AGENT_HZ) == pytest.approx(2.4, abs=0.3)
    assert seconds_of(both.heard.part(0, talk_at - 0.3), AGENT_HZ) == 0
    prompt = sentence(office.stack.closure.asterisk_data / "sounds/en", ("tt-weasels",))
    match = find_speech(prompt, both.heard)
    assert match.found
    assert match.lag_ms < 1500

    await office.spool_is_empty()
    record = await office._row("SELECT * FROM reports.call_records WHERE linkedid = $1", call["linkedid"])
    assert (record["recording_file"], float(record["recording_seconds"])) == (row["file"], row["length"])
    assert await office.database.fetchval("SELECT count(*) FROM cdr.cdr WHERE channel LIKE 'Snoop/%'") == 0


async def test_the_agents_keys_pause_and_resume_and_the_pause_is_silence(office: Office) -> None:
    made, taken = await office.connect()
    await asyncio.sleep(1)
    await taken.press("*1")
    await asyncio.sleep(3)
    await taken.press("*2")
    await asyncio.sleep(2)
    await made.hang_up()
    row = await office.recording()
    both = read_stereo(office.folder / row["file"])
    call = await office.call("ended")
    assert row["length"] == pytest.approx((call["ended_at"] - row["started_at"]).total_seconds(), abs=0.5)
    before, after = tone_spans(both.caller, CALLER_HZ, min_s=0.2)
    assert 2.0 < after[0] - before[1] < 4.0
    for side in (both.caller, both.heard):
        assert level_dbfs(side.part(before[1] + 0.2, after[0] - 0.2)) < -80
    await taken.closed()
    await made.closed()
    for words in ("de-activated", "activated"):
        spoken = sentence(office.stack.closure.asterisk_data / "sounds/en", (words,))
        assert find_speech(spoken, read_wav(taken.recording.path)).found
        assert not find_speech(spoken, read_wav(made.recording.path)).found


async def test_the_time_line_goes_on_while_a_phone_holds_the_call(office: Office, tmp_path: Path) -> None:
    scenario = sipp.answer_and_hold(talk_ms=500, hold_ms=2000)
    agents = account(office.stack, "1001")  # it takes the registration over
    async with SippPhone.start(office.stack.closure, tmp_path / "sipp", agents, scenario) as phone:
        made = await office.caller.dial(NUMBER)
        await phone.saw("held", timeout=PATIENCE)
        await phone.saw("resumed", timeout=PATIENCE)
        await asyncio.sleep(0.5)
        await made.hang_up()
        await phone.saw("BYE", timeout=PATIENCE)
    row = await office.recording()
    call = await office.call("ended")
    assert row["fault"] is None
    assert row["length"] == pytest.approx((call["ended_at"] - row["started_at"]).total_seconds(), abs=0.5)
    both = read_stereo(office.folder / row["file"])
    assert seconds_of(both.caller, CALLER_HZ) == pytest.approx(row["length"], abs=0.5)
    assert call["hold_seconds"] == 2


async def test_the_consent_prompt_comes_first_and_is_not_recorded(office: Office) -> None:
    await office.route("consent_prompt", "sound:tt-monkeysintro")
    made, _ = await office.connect()
    await made.hang_up()
    row = await office.recording()
    consent = sentence(office.stack.closure.asterisk_data / "sounds/en", ("tt-monkeysintro",))
    call = await office.call("ended")
    assert (row["started_at"] - call["received_at"]).total_seconds() > consent.duration_s
    both = read_stereo(office.folder / row["file"])
    assert not find_speech(consent, both.heard).found


async def test_a_number_without_recording_has_none(office: Office) -> None:
    await office.route("recording", False)
    made, _ = await office.connect()
    await made.hang_up()
    await office.call("ended")
    await office.is_empty()
    assert await office.database.fetchval("SELECT count(*) FROM pbx.recordings") == 0
    assert list(office.spool.iterdir()) == []


async def test_without_a_place_in_asterisk_the_call_goes_on_and_the_fault_is_told(office: Office) -> None:
    away = office.spool.with_name("away")
    office.spool.rename(away)
    try:
        made, _ = await office.connect()
        await asyncio.sleep(0.5)
        await made.hang_up()
        row = await office.recording()
        assert "Asterisk does not record the caller side" in row["fault"]
        assert (await office.call("ended"))["status"] == "Answered"
    finally:
        away.rename(office.spool)


@contextlib.contextmanager
def a_disk_that_takes(stack: Stack, size: int) -> Iterator[None]:
    """Asterisk can write no file larger than this: what a full disk looks like from inside."""
    pid, unlimited = stack.asterisk.process.pid, resource.RLIM_INFINITY
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, unlimited))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))


async def test_a_full_disk_does_not_end_the_call_and_the_fault_is_told(office: Office) -> None:
    log = office.stack.asterisk.log.stat().st_size
    with a_disk_that_takes(office.stack, log + 64_000):
        made, taken = await office.connect()
        await asyncio.sleep(6)
        assert taken.close_reason is None
        await made.hang_up()
        row = await office.recording()
    assert "Asterisk could not write on" in row["fault"]
    assert (await office.call("ended"))["status"] == "Answered"
    assert 1 < row["length"] < 6
    await office.spool_is_empty()


async def test_a_folder_that_takes_nothing_is_a_fault_and_the_recording_comes_when_it_is_mended(office: Office) -> None:
    kept = office.folder.with_name("kept")
    if office.folder.exists():
        office.folder.rename(kept)
    office.folder.touch()
    try:
        made, _ = await office.connect()
        await asyncio.sleep(1)
        await made.hang_up()
        row = await office.recording()
        assert "it cannot be stored" in row["fault"]
        assert row["length"] is None
    finally:
        office.folder.unlink()
        if kept.exists():
            kept.rename(office.folder)
    await office.stack.app.stop()
    await office.stack.app.start()  # it looks at once for what was left
    async with asyncio.timeout(PATIENCE):
        while (row := await office.recording())["length"] is None:
            await asyncio.sleep(0.1)
    assert row["fault"] is None
    assert (office.folder / row["file"]).exists()
    await office.spool_is_empty()
