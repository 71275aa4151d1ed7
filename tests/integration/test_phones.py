"""The SIP phones that all other tests rely on, on a real Asterisk: what they show, hear, press and refuse.

The measured baseline is theirs alone: two phones, one Asterisk, no WhatsApp in between.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from ari_app.media.measure import (
    dominant_tone,
    find_speech,
    level_dbfs,
    longest_gap_ms,
    tone_gaps,
    tone_spans,
)
from ari_app.media.speech import AGENT_WORDS, CALLER_WORDS, sentence
from ari_app.media.wav import Sound, read_wav, sine
from ari_app.runtime import sipp
from ari_app.runtime.debian import Closure
from ari_app.runtime.phone_call import Codec
from ari_app.runtime.phones import Baresip, PhoneCall, PhoneError, SipAccount
from ari_app.runtime.sipp import SippPhone
from ari_app.runtime.stack import Stack, StackOptions

DIALPLAN = """
[phones]
exten => press,1,Answer()
 same => n,Read(PRESSED,,12,,1,10)
 same => n,Set(CALLERID(name)=pressed ${PRESSED})
 same => n,Dial(PJSIP/1002,10)
exten => named,1,Set(CALLERID(all)="Zoë «✆» Quote" <4915112345678>)
 same => n,Dial(PJSIP/1002,10)
"""
TONE_DBFS = -20.0


@pytest.fixture(scope="module")
def stack_options() -> StackOptions:
    return StackOptions(app=False, bridge=False, simulator=False, extra_dialplan=DIALPLAN)


@pytest.fixture
def folder(stack: Stack, request: pytest.FixtureRequest) -> Path:
    """A new one for each try, since a phone does not write over what another one recorded."""
    name = str(request.node.name).translate({ord(letter): "-" for letter in "[]/ "})
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=stack.folder))


def account(stack: Stack, user: str, codec: Codec = "opus") -> SipAccount:
    return SipAccount(user, stack.asterisk.phones[user].password, port=stack.asterisk.sip_port, codec=codec)


@pytest_asyncio.fixture
async def first(closure: Closure, stack: Stack, folder: Path) -> AsyncIterator[Baresip]:
    async with Baresip.start(closure, folder / "1001", account(stack, "1001")) as phone:
        yield phone


@pytest_asyncio.fixture
async def second(closure: Closure, stack: Stack, folder: Path) -> AsyncIterator[Baresip]:
    async with Baresip.start(closure, folder / "1002", account(stack, "1002")) as phone:
        yield phone


async def connected(caller: Baresip, called: Baresip) -> tuple[PhoneCall, PhoneCall]:
    made = await caller.dial(called.account.user)
    taken = await called.ringing()
    await taken.answer()
    await made.established()
    return made, taken


@pytest.mark.parametrize(("first_codec", "second_codec"), [("opus", "opus"), ("ulaw", "ulaw"), ("opus", "alaw")])
async def test_a_tone_arrives_without_gaps_and_at_its_level(
    closure: Closure, stack: Stack, folder: Path, first_codec: Codec, second_codec: Codec
) -> None:
    gaps = []
    for attempt in range(3):
        gaps.append(await _longest_gap_of_a_call(closure, stack, folder / str(attempt), first_codec, second_codec))
        if gaps[-1] <= 60:
            return
    # A busy machine can make a good path stutter now and then, but not a bad one run smoothly.
    pytest.fail(f"each of three calls had a gap of more than 60 ms: {gaps}")


async def _longest_gap_of_a_call(
    closure: Closure, stack: Stack, folder: Path, first_codec: Codec, second_codec: Codec
) -> float:
    folder.mkdir(parents=True)
    longest = 0.0
    async with AsyncExitStack() as phones:
        caller, called = [
            await phones.enter_async_context(
                Baresip.start(
                    closure,
                    folder / user,
                    account(stack, user, codec),
                    microphone=sine(hertz, 1, 48000, TONE_DBFS),
                )
            )
            for user, codec, hertz in (("1001", first_codec, 1000), ("1002", second_codec, 440))
        ]
        made, taken = await connected(caller, called)
        await asyncio.sleep(6)  # the recording's length
        await made.hang_up()
        await taken.closed(timeout=2)
        await made.closed(timeout=2)
    for heard, said, hertz in ((taken, made, 1000), (made, taken, 440)):
        recording = read_wav(heard.recording.path)
        start, end = tone_spans(recording, hertz)[0][0] + 0.2, recording.duration_s - 0.2
        assert end - start > 5
        longest = max(longest, longest_gap_ms(tone_gaps(recording, hertz, start_s=start, end_s=end)))
        tone = dominant_tone(recording.part(start, end))
        assert tone.frequency_hz == pytest.approx(hertz, abs=0.5)
        assert tone.purity > 0.99
        assert level_dbfs(recording.part(start, end)) == pytest.approx(TONE_DBFS, abs=1)
        assert said.microphone_since is not None
        delay_ms = (heard.recording.started_at + start - 0.2 - said.microphone_since) * 1000
        assert 20 < delay_ms < 300
    return longest


async def test_each_hears_the_others_words_and_not_ones_own(closure: Closure, first: Baresip, second: Baresip) -> None:
    sounds = closure.asterisk_data / "sounds/en"
    question, answer = sentence(sounds, CALLER_WORDS), sentence(sounds, AGENT_WORDS)
    made, taken = await connected(first, second)
    began = await first.say(question)
    await asyncio.sleep(question.duration_s)
    await second.say(answer)
    await asyncio.sleep(answer.duration_s + 1)
    await taken.hang_up()
    await made.closed(timeout=2)
    await taken.closed(timeout=2)
    at_second, at_first = read_wav(taken.recording.path), read_wav(made.recording.path)
    match = find_speech(question, at_second)
    assert match.found
    assert match.gain_db == pytest.approx(0, abs=1)
    assert 0.02 < taken.recording.started_at + match.lag_ms / 1000 - began < 0.3
    assert find_speech(answer, at_first).found
    assert not find_speech(question, at_first).found
    assert not find_speech(answer, at_second).found


async def test_a_phone_shows_the_callers_name_and_number(first: Baresip, second: Baresip) -> None:
    made = await first.dial("named")
    call = await second.ringing()
    assert (call.peer_name, call.peer_number, call.direction) == ("Zoë «✆» Quote", "4915112345678", "incoming")
    await made.hang_up()
    await call.closed(timeout=1)


async def test_digits_pressed_arrive_in_order(first: Baresip, second: Baresip) -> None:
    made = await first.dial("press")
    await made.established()
    await made.press("0123456789*#")
    call = await second.ringing(timeout=15)
    assert call.peer_name in ("pressed 0123456789*", "pressed 0123456789*#")  # Read() ends at #
    await made.hang_up()


async def test_digits_are_heard_in_order_while_sound_arrives(first: Baresip, second: Baresip) -> None:
    made, taken = await connected(first, second)
    await made.press("0123456789*#")
    await taken.heard_digits("0123456789*#", timeout=10)
    assert taken.digits == "0123456789*#"
    await made.hang_up()


async def test_a_call_that_is_refused_or_left_alone_ends_at_once(first: Baresip, second: Baresip) -> None:
    made = await first.dial("1002")
    call = await second.ringing()
    await call.reject()
    assert (await made.closed(timeout=2)).text.startswith("486")
    made = await first.dial("1002")
    call = await second.ringing()
    await made.hang_up()
    await call.closed(timeout=1)


async def test_do_not_disturb_refuses_without_ringing(first: Baresip, second: Baresip) -> None:
    await second.do_not_disturb(True)
    made = await first.dial("1002")
    await made.closed(timeout=5)
    assert second.calls == []


async def test_a_phone_may_answer_by_itself(closure: Closure, stack: Stack, folder: Path, first: Baresip) -> None:
    start = Baresip.start(closure, folder / "1002", account(stack, "1002"), answer_after_ms=300)
    async with start as second:
        made = await first.dial("1002")
        rang = await first.wait_for("CALL_RINGING", call=made)
        answered = await made.established(timeout=5)
        assert 0.2 < answered.at - rang.at < 2
        await made.hang_up()
        await second.calls[-1].closed(timeout=2)


async def test_a_wrong_password_is_told(closure: Closure, stack: Stack, folder: Path) -> None:
    with pytest.raises(PhoneError, match="1003 cannot register"):
        async with Baresip.start(closure, folder, SipAccount("1003", "wrong", port=stack.asterisk.sip_port)):
            pass


async def test_nothing_of_a_phone_is_left_behind(closure: Closure, stack: Stack, folder: Path) -> None:
    async with Baresip.start(closure, folder, account(stack, "1003")) as phone:
        pid = phone.pid
        assert Path(f"/proc/{pid}").exists()
        tasks = asyncio.all_tasks()
    assert not Path(f"/proc/{pid}").exists()
    assert asyncio.all_tasks() < tasks


# SIPp


@pytest.mark.parametrize(
    ("code", "reason", "shown"), [(603, "Decline", "403"), (486, "Busy", "486"), (500, "No", "500")]
)
async def test_sipp_refuses_as_told(
    closure: Closure, stack: Stack, folder: Path, first: Baresip, code: int, reason: str, shown: str
) -> None:
    scenario = sipp.refuse(code, reason, after_ms=100)
    async with SippPhone.start(closure, folder / "sipp", account(stack, "1004", "ulaw"), scenario) as phone:
        for _ in range(2):
            call = await first.dial("1004")
            await phone.saw("INVITE")
            assert (await call.closed(timeout=5)).text.startswith(shown)  # as Asterisk passes it on
            await phone.saw("ACK")


async def test_sipp_rings_until_the_caller_gives_up(
    closure: Closure, stack: Stack, folder: Path, first: Baresip
) -> None:
    async with SippPhone.start(closure, folder / "sipp", account(stack, "1004"), sipp.never_answer()) as phone:
        call = await first.dial("1004")
        await phone.saw("INVITE")
        await first.wait_for("CALL_RINGING", call=call)
        await call.hang_up()
        await phone.saw("CANCEL", timeout=1)
        await phone.saw("ACK")


async def test_sipp_answers_and_sees_the_end(closure: Closure, stack: Stack, folder: Path) -> None:
    async with (
        Baresip.start(closure, folder / "1001", account(stack, "1001", "ulaw")) as first,
        SippPhone.start(closure, folder / "sipp", account(stack, "1004"), sipp.answer()) as phone,
    ):
        call = await first.dial("1004")
        await call.established()
        await call.hang_up()
        await phone.saw("BYE", timeout=2)


async def test_sipp_holds_and_resumes(closure: Closure, stack: Stack, folder: Path) -> None:
    scenario = sipp.answer_and_hold(talk_ms=200, hold_ms=500)
    async with (
        Baresip.start(closure, folder / "1001", account(stack, "1001", "ulaw")) as first,
        SippPhone.start(closure, folder / "sipp", account(stack, "1004"), scenario) as phone,
    ):
        call = await first.dial("1004")
        await call.established()
        await phone.saw("held")
        channels = await stack.asterisk.cli("core show channels concise")
        assert len(channels.splitlines()) == 2
        await phone.saw("resumed")
        await call.hang_up()
        await phone.saw("BYE", timeout=2)


async def test_sipp_places_a_call(closure: Closure, stack: Stack, folder: Path) -> None:
    start = Baresip.start(closure, folder / "1001", account(stack, "1001", "ulaw"), answer_after_ms=50)
    async with start as first:
        await sipp.place_call(closure, folder / "sipp", account(stack, "1004"), "1001", talk_ms=300)
        (call,) = first.calls
        assert call.peer_number == "1004"
        await call.closed(timeout=2)
        await first.do_not_disturb(True)
        with pytest.raises(PhoneError, match="1004 to 1001 failed: 4"):
            await sipp.place_call(closure, folder / "again", account(stack, "1004"), "1001")


def test_the_speech_is_that_of_asterisk(closure: Closure) -> None:
    words = sentence(closure.asterisk_data / "sounds/en", CALLER_WORDS)
    assert isinstance(words, Sound)
    assert words.duration_s > 2
    assert level_dbfs(words) > -30
