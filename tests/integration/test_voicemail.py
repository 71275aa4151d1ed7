"""Voicemail on a real Asterisk: what callers say is kept, listed, and shown on phones; and the gate before it."""

import asyncio
import contextlib
import sys
import uuid
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ari_app.ari import Channel, channel_id
from ari_app.ari.events import (
    ChannelDestroyed,
    ChannelStateChange,
    PlaybackFinished,
    RecordingFinished,
    RecordingStarted,
)
from ari_app.media.convert import loudness
from ari_app.media.measure import dominant_tone, tone_spans
from ari_app.media.wav import pcm16, read_wav, silence, sine, write_wav
from ari_app.runtime import baresip
from ari_app.runtime.debian import Closure
from ari_app.runtime.phone_call import Codec
from ari_app.runtime.phones import Baresip, SipAccount
from ari_app.runtime.stack import Stack, StackOptions
from ari_app.store.console.messages import MessageStore
from ari_app.store.database import Database
from tests.integration.callers import PATIENCE, House, house_of

MAILBOX = "team@whatsapp"
"""As the endpoints of the embedded phones watch it."""

CALLERS = """
[callers]
exten => tone,1,Answer()
 same => n,Playback(${TONE}&${TONE}&${TONE})
exten => pound,1,Answer()
 same => n,Playback(${TONE})
 same => n,SendDTMF(#)
 same => n,Wait(60)
exten => silence,1,Answer()
 same => n,Playback(silence/10&silence/10)
"""


@pytest.fixture(scope="module")
def stack_options() -> StackOptions:
    return StackOptions(bridge=False, simulator=False, extra_dialplan=CALLERS)


@pytest.fixture
async def house(stack: Stack) -> AsyncIterator[House]:
    tone = stack.folder / "tone.wav"
    write_wav(tone, sine(1000, 9.0, 8000, -20.0))
    async with house_of(stack) as house:
        await house.ari.asterisk.set_variable("TONE", str(tone.with_suffix("")))
        await house.database.execute("DELETE FROM pbx.calls")
        await house.database.execute("UPDATE pbx.groups SET voicemail_mailbox = $1", MAILBOX)
        await house.database.execute(
            "INSERT INTO pbx.menus (name, prompt, timeout_seconds, retries, no_input) "
            "VALUES ('nobody', 'sound:beep', 1, 0, 'voicemail:Agents') ON CONFLICT DO NOTHING"
        )
        await house.database.execute(
            "INSERT INTO pbx.routes (number, calling_enabled, incoming, menu) "
            "VALUES ($1, true, 'ivr', 'nobody'), ('900', true, 'ivr', 'nobody') "
            "ON CONFLICT (number) DO UPDATE SET incoming = 'ivr', menu = 'nobody'",
            house.number,
        )
        await house.database.execute(
            "UPDATE pbx.routes SET voicemail_prompt = 'sound:beep', entry_prompt = 'sound:beep', recording = false, "
            "schedule = NULL, max_calls = NULL, calling_enabled = true"
        )
        yield house
        async with asyncio.timeout(PATIENCE):
            while await house.ari.channels.list() or await house.ari.recordings.stored():
                await asyncio.sleep(0.05)


def account(stack: Stack, user: str, codec: Codec = "opus") -> SipAccount:
    return SipAccount(user, stack.asterisk.phones[user].password, port=stack.asterisk.sip_port, codec=codec)


async def message(house: House) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE):
        while (row := await house.database.fetchrow("SELECT * FROM pbx.voicemails")) is None:
            await asyncio.sleep(0.05)
    return dict(row)


async def test_what_a_caller_says_until_hanging_up_is_kept_and_shown_on_a_phone(
    house: House, stack: Stack, closure: Closure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baresip, "APPLICATIONS", (*baresip.APPLICATIONS, "mwi"))
    async with (
        Baresip.start(closure, tmp_path / "1003", account(stack, "1003")) as watching,
        Baresip.start(
            closure, tmp_path / "1002", account(stack, "1002"), microphone=sine(1000, 2.0, 8000, -20.0)
        ) as calling,
    ):
        with house.ari.events(RecordingStarted) as recordings:
            call = await calling.dial("900")
            await recordings.wait_for(RecordingStarted, timeout=PATIENCE)
        await asyncio.sleep(4.0)
        await call.hang_up()
        record = await house.record()
        assert (record["status"], record["ended_by"]) == ("Voicemail", "user")
        kept = await message(house)
        assert kept["call_id"] == record["id"]
        assert (kept["number"], kept["group_name"]) == ("900", "Agents")
        await watching.until(
            lambda: any("Voice-Message: 1/0" in event.text for event in watching._untaken), "lamp", PATIENCE
        )
        async with Database(stack.dsn) as database:  # as the console does it, in another process
            assert await MessageStore(database).mark(kept["id"], None, heard=True)
        await watching.until(
            lambda: any("Voice-Message: 0/1" in event.text for event in watching._untaken), "no lamp", PATIENCE
        )
    sound = read_wav(Path(kept["file"]))
    assert 3.0 < sound.duration_s < 4.6
    assert sound.duration_s == pytest.approx(float(kept["seconds"]), abs=0.01)
    tone = dominant_tone(sound.part(0.5))
    assert tone.frequency_hz == pytest.approx(1000, abs=5)
    assert tone.purity > 0.9
    assert not [line for line in stack.asterisk.complaints() if "mwi" in line.lower()]


@contextlib.asynccontextmanager
async def caller(house: House, does: str, number: str = "") -> AsyncIterator[Channel]:
    """Somebody who calls on WhatsApp and makes this sound once answered."""
    channel = await house.ari.channels.originate(
        endpoint=f"Local/{number or house.number}@whatsapp-in/n",
        context="callers",
        extension=does,
        priority=1,
        channel_id=channel_id(),
        other_channel_id=channel_id(),
        variables={"__WHATSAPP_CALL_ID": f"wacid.{uuid.uuid4().hex}", "__WHATSAPP_FROM": "4915112345678"},
    )
    with channel:
        try:
            yield channel
        finally:
            await channel.hangup()


async def test_pound_ends_the_message_and_the_caller_hears_goodbye(house: House) -> None:
    with house.ari.events(RecordingStarted, PlaybackFinished) as events:
        async with caller(house, "pound"):
            await events.wait_for(RecordingStarted, timeout=PATIENCE)
            await events.wait_for(
                PlaybackFinished,
                timeout=PATIENCE,
                where=lambda event: event.playback.media_uri == "sound:vm-goodbye" and event.playback.state == "done",
            )
            record = await house.record()
    assert (record["status"], record["ended_by"]) == ("Voicemail", "system")
    assert record["reason"].endswith("s was left")
    assert record["path"][-1] == "voicemail:Agents"
    kept = await message(house)
    assert dominant_tone(read_wav(Path(kept["file"]))).frequency_hz == pytest.approx(1000, abs=5)
    assert Path(kept["file"]).stat().st_mode & 0o777 == 0o600


async def test_what_is_too_short_is_discarded_and_the_record_says_so(house: House, stack: Stack) -> None:
    files = set(stack.folder.glob("voicemail/*"))
    with house.ari.events(RecordingStarted) as events:
        async with caller(house, "tone") as channel:
            await events.wait_for(RecordingStarted, timeout=PATIENCE)
            await asyncio.sleep(1.0)
            await channel.hangup()
            record = await house.record()
    assert (record["status"], record["ended_by"]) == ("User Abandon", "user")
    assert "left no message (" in record["reason"]
    assert "too short" in record["reason"]
    assert await house.database.fetchval("SELECT count(*) FROM pbx.voicemails") == 0
    assert set(stack.folder.glob("voicemail/*")) == files


async def test_a_long_silence_ends_the_message(house: House) -> None:
    with house.ari.events(RecordingStarted, RecordingFinished) as events:
        async with caller(house, "silence"):
            await events.wait_for(RecordingStarted, timeout=PATIENCE)
            finished = await events.wait_for(RecordingFinished, timeout=PATIENCE)
            record = await house.record()
    assert finished.recording.state == "done"
    assert record["ended_by"] == "system"


async def test_a_message_that_was_being_recorded_when_the_application_was_killed_is_kept(
    house: House, stack: Stack
) -> None:
    await house.database.execute("UPDATE pbx.routes SET voicemail_shortest_seconds = 1")
    with house.ari.events(RecordingStarted) as events:
        async with caller(house, "tone"):
            await events.wait_for(RecordingStarted, timeout=PATIENCE)
            await asyncio.sleep(2.0)
            stack.app.kill()
            await stack.app.stop()
            await stack.app.start()
            kept = await message(house)
    record = await house.record()
    assert kept["call_id"] == record["id"]
    assert kept["group_name"] == "Agents"
    assert (record["status"], record["ended_by"]) == ("Voicemail", "system")
    assert record["reason"] == f"a message of {kept['seconds']:.0f} s was left (the application was restarted)"
    sound = read_wav(Path(kept["file"]))
    assert sound.duration_s == pytest.approx(float(kept["seconds"]), abs=0.01)
    assert 1.5 < sound.duration_s < 8
    assert dominant_tone(sound.part(0.5)).frequency_hz == pytest.approx(1000, abs=5)


async def test_a_number_says_how_long_a_message_may_be_and_what_silence_ends_it(house: House) -> None:
    await house.database.execute(
        "UPDATE pbx.routes SET voicemail_longest_seconds = 5, voicemail_silence_seconds = 1, "
        "voicemail_shortest_seconds = 0"
    )
    try:
        for does, bounds in (("tone", (4.5, 5.5)), ("silence", (0.0, 2.0))):
            with house.ari.events(RecordingStarted) as events:
                async with caller(house, does):
                    await events.wait_for(RecordingStarted, timeout=PATIENCE)
                    await house.record()
            kept = await message(house)
            assert bounds[0] < kept["seconds"] < bounds[1]
            await house.database.execute("DELETE FROM pbx.calls")
    finally:
        await house.database.execute(
            "UPDATE pbx.routes SET voicemail_longest_seconds = DEFAULT, voicemail_silence_seconds = DEFAULT, "
            "voicemail_shortest_seconds = DEFAULT"
        )


async def test_commands_list_play_mark_and_delete_messages(house: House, stack: Stack) -> None:
    with house.ari.events(RecordingStarted) as events:
        async with caller(house, "tone") as channel:
            await events.wait_for(RecordingStarted, timeout=PATIENCE)
            await asyncio.sleep(3.0)
            await channel.hangup()
            await house.record()
    kept = await message(house)
    prefix = str(kept["id"])[:8]

    async def run(*arguments: str) -> str:
        status, printed = await command(stack, "voicemail", "--config", str(stack.config), *arguments)
        assert status == 0, printed
        return printed

    assert "+4915112345678" in await run("list", "--new")
    assert (await run("play-path", prefix)).strip() == kept["file"]
    await run("mark-heard", prefix)
    assert await house.database.fetchval("SELECT heard_at IS NOT NULL FROM pbx.voicemails")
    assert "+4915112345678" not in await run("list", "--new")
    await run("delete", prefix)
    assert not Path(kept["file"]).exists()
    assert await house.database.fetchval("SELECT count(*) FROM pbx.voicemails") == 0


async def refused(house: House, number: str = "") -> tuple[int, dict[str, Any]]:
    """The cause with which a call is refused without an answer, and its record."""
    with house.ari.events(ChannelStateChange) as states:
        async with caller(house, "tone", number) as channel:
            cause = (await channel.wait_for(ChannelDestroyed, timeout=PATIENCE)).cause
            seen = [event.channel.state for event in states._queue if isinstance(event, ChannelStateChange)]
    assert "Up" not in seen
    return cause, await house.record()


async def test_a_call_outside_business_hours_is_refused_without_an_answer(house: House) -> None:
    today = datetime.now(UTC)
    await house.database.execute("DELETE FROM pbx.schedules")
    await house.database.execute("INSERT INTO pbx.schedules VALUES ('office', 'UTC')")
    opening = (today + timedelta(days=2)).date()
    await house.database.execute(
        "INSERT INTO pbx.schedule_hours VALUES ('office', $1, '09:00', '24:00')", opening.isoweekday()
    )
    await house.database.execute("UPDATE pbx.routes SET schedule = 'office' WHERE number = $1", house.number)
    cause, record = await refused(house)
    assert cause == 21
    assert (record["status"], record["ended_by"]) == ("Rejected", "system")
    assert record["reason"] == f"outside business hours (office), opens again at {opening} 09:00 UTC"
    await house.database.execute("INSERT INTO pbx.holidays VALUES ('office', $1, '00:00', '24:00')", today.date())
    with house.ari.events(RecordingStarted) as events:
        async with caller(house, "tone"):
            await events.wait_for(RecordingStarted, timeout=PATIENCE)


async def test_a_number_that_takes_no_calls_refuses_them(house: House) -> None:
    await house.database.execute("UPDATE pbx.routes SET calling_enabled = false WHERE number = $1", house.number)
    cause, record = await refused(house)
    assert cause == 21
    assert record["reason"] == f"calling is switched off for number {house.number}"


async def test_of_many_calls_at_once_no_more_come_in_than_the_limit(house: House) -> None:
    await house.database.execute("UPDATE pbx.routes SET max_calls = 3 WHERE number = $1", house.number)
    async with contextlib.AsyncExitStack() as callers:
        channels = [await callers.enter_async_context(caller(house, "tone")) for _ in range(8)]
        async with asyncio.timeout(PATIENCE):
            while await house.database.fetchval("SELECT count(*) FROM pbx.calls WHERE status = 'Rejected'") < 5:
                await asyncio.sleep(0.05)
        assert await house.database.fetchval("SELECT count(*) FROM pbx.calls WHERE state <> 'ended'") == 3
        reasons = await house.database.fetch("SELECT DISTINCT reason FROM pbx.calls WHERE status = 'Rejected'")
        assert [row["reason"] for row in reasons] == [
            f"all lines are busy: number {house.number} takes 3 calls at once"
        ]
        alive = {channel.id for channel in await house.ari.channels.list()}
        assert sum(channel.id in alive for channel in channels) == 3
        await channels[next(n for n, channel in enumerate(channels) if channel.id in alive)].hangup()
        async with asyncio.timeout(PATIENCE):
            while await house.database.fetchval("SELECT count(*) FROM pbx.calls WHERE state <> 'ended'") == 3:
                await asyncio.sleep(0.05)
        another = await callers.enter_async_context(caller(house, "tone"))
        await another.wait_for(ChannelStateChange, timeout=PATIENCE, where=lambda event: event.channel.state == "Up")


async def command(stack: Stack, *arguments: str) -> tuple[int, str]:
    """Exit status, and what a command prints on both outputs."""
    program = Path(sys.executable).with_name("asterisk-whatsapp")
    process = await asyncio.create_subprocess_exec(program, *arguments, stdout=PIPE, stderr=STDOUT)
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


@pytest.mark.parametrize("codec", ["opus", "ulaw"])
async def test_a_caller_hears_an_uploaded_prompt(
    house: House, stack: Stack, closure: Closure, tmp_path: Path, codec: Codec
) -> None:
    upload = tmp_path / "any name; $(really).wav"
    write_wav(upload, silence(0.5, 8000) + sine(700, 2.0, 8000, -35.0) + silence(2.0, 8000))
    config = ("--config", str(stack.config))
    status, printed = await command(stack, "prompt", *config, "add", "hello", str(upload))
    assert (status, "prompt:hello is 2.4 s long" in printed) == (0, True), printed
    await house.database.execute("UPDATE pbx.routes SET entry_prompt = 'prompt:hello' WHERE number = '900'")
    who = account(stack, "1002", codec)
    async with Baresip.start(closure, tmp_path / "1002", who) as phone:
        with house.ari.events(PlaybackFinished) as events:
            call = await phone.dial("900")
            await call.established()
            await events.wait_for(PlaybackFinished, timeout=PATIENCE)
        await call.hang_up()
        await call.closed()
        await house.record()
        # Not call.recording: a call that is answered at once may begin before the phone's log tells whose sound it is.
        heard = read_wav(tmp_path / "1002" / "heard-1.wav")
    (span,) = tone_spans(heard, 700)[:1]
    assert span[1] - span[0] == pytest.approx(2.0, abs=0.1)
    tone = heard.part(span[0] + 0.2, span[1] - 0.2)
    assert dominant_tone(tone).purity > 0.95
    assert loudness(pcm16(tone.resampled(16000))) == pytest.approx(-19.0, abs=1.0)
    status, printed = await command(stack, "prompt", *config, "remove", "hello")
    assert (status, "is in use: number 900, entry" in printed) == (1, True), printed
    await house.database.execute("UPDATE pbx.routes SET entry_prompt = 'sound:beep'")
    assert (await command(stack, "prompt", *config, "remove", "hello"))[0] == 0
    assert "hello" not in (await command(stack, "prompt", *config, "list"))[1]
