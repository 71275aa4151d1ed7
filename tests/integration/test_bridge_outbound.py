"""Calls from plain dialplan to WhatsApp users: a real Asterisk, the bridge, a strict Meta, and no application.

`Local/<user>@out` runs `Dial(WebSocket/whatsapp/…)` in one half; the other half, the agent, enters [agent] on answer.
"""

import time
import uuid
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ari_app.ari import channel_id
from ari_app.ari.events import ChannelDestroyed, ChannelStateChange, StasisStart
from ari_app.media.measure import dominant_tone, level_dbfs, tone_spans
from ari_app.media.wav import Sound as Recording
from ari_app.media.wav import read_wav
from ari_app.runtime.stack import Stack, StackOptions
from tests.integration.dialling import OUT, PATIENCE, USER, Agent, Office, office_of, tone
from tests.integration.leftovers import nothing_left
from whatsapp_bridge.simulator.client import SimulatorClient
from whatsapp_bridge.simulator.models import Behaviour, GraphFault, Injection, NumberState, Release, UserPlan
from whatsapp_bridge.simulator.phone import Sound
from whatsapp_bridge.simulator.webhooks import WebhookOptions

DIALPLAN = (
    OUT
    + """exten => hello,1,PlayTones(!1000/1000,!0/9000)   ; the first word, from the very moment of the answer
 same => n,Wait(20)
exten => listen,1,Record(${FILE}.wav,0,3,qk)
exten => read,1,Answer()
 same => n,Read(DIGIT,,1,,1,10)
 same => n,Set(GLOBAL(RESULT_${CALL})=${DIGIT})
 same => n,Echo()
exten => digits,1,Wait(0.3)
 same => n,SendDTMF(0123456789*#,150,120)
 same => n,Wait(20)
"""
)


@pytest.fixture(scope="module")
def stack_options() -> StackOptions:
    return StackOptions(app=False, extra_dialplan=DIALPLAN)


@pytest.fixture
async def office(stack: Stack) -> AsyncIterator[Office]:
    async with office_of(stack) as office:
        yield office


@pytest.fixture
def meta(office: Office) -> SimulatorClient:
    return office.meta


@pytest.fixture
def dial(office: Office) -> Any:
    return office.dial


def heard(facts: dict[str, Any]) -> Recording:
    return read_wav(Path(facts["recording"]["path"]))


async def test_a_user_answers_and_hears_an_echo_of_the_own_voice(office: Office, meta: SimulatorClient) -> None:
    await meta.plan_user(UserPlan(number=USER, name="Ada", answer_ms=300, play=tone(1000)))
    agent = await office.dial()
    phone = await agent.phone()
    facts = await phone.wait(state="connected", timeout=PATIENCE)
    row = await agent.row("connected")
    assert (row["direction"], row["user_number"], row["user_name"]) == ("outbound", USER, "Ada")
    assert row["meta_call_id"] == phone.id
    assert row["ringing_at"] < row["accepted_at"]
    await phone.wait(packets_in=150, timeout=PATIENCE)
    await agent.hang_up()
    facts = await phone.wait(closed=True, timeout=PATIENCE)
    assert facts["ended_by"] == "business"
    assert not facts["early_media"]
    assert dominant_tone(heard(facts)).frequency_hz == pytest.approx(1000, abs=5)
    assert level_dbfs(heard(facts)) == pytest.approx(-23, abs=3)
    row = await agent.row()
    assert (row["ended_by"], row["hangup_cause"]) == ("pbx", 16)
    assert await office.db.fetchval("SELECT count(*) FROM cdr.cdr WHERE linkedid = $1", row["linkedid"]) >= 1
    await nothing_left(office.stack)


def two_words(path: Path) -> Sound:
    """Half a second of one tone, then another: whether the first word is whole can be heard."""
    time_line = np.arange(24_000) / 48_000
    words = [3_000 * np.sin(2 * np.pi * hz * t) for hz, t in ((700, time_line), (1200, np.arange(72_000) / 48_000))]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(np.concatenate(words).astype("<i2").tobytes())
    return Sound(wav=path, loop=False)


async def test_the_agents_first_word_is_heard_whole(dial: Any, meta: SimulatorClient) -> None:
    await meta.plan_user(UserPlan(number=USER, answer_ms=200))
    agent = await dial(then="hello")
    phone = await agent.phone()
    facts = await phone.wait(packets_in=80, timeout=PATIENCE)
    await agent.hang_up()
    facts = await phone.wait(closed=True, timeout=PATIENCE)
    assert not facts["early_media"]
    first, *_ = tone_spans(heard(facts), 1000)
    assert first[1] - first[0] >= 0.95


@pytest.mark.parametrize("trailing_ms", [0, 400])
async def test_the_users_first_word_is_heard_whole(
    dial: Any, meta: SimulatorClient, tmp_path: Path, trailing_ms: int
) -> None:
    """Also when ACCEPTED arrives after it was said."""
    await meta.plan_user(
        UserPlan(
            number=USER,
            answer_ms=300,
            accepted_delay_ms=trailing_ms,
            play=two_words(tmp_path / "words.wav"),
            behaviour=Behaviour(waits_for_media=False),
        )
    )
    agent = await dial(then="listen", FILE=str(tmp_path / "agent"))
    await agent.row()
    first, *_ = tone_spans(read_wav(tmp_path / "agent.wav"), 700)
    assert first[1] - first[0] >= 0.45


async def test_what_meta_sends_while_it_rings_is_not_heard(dial: Any, meta: SimulatorClient, tmp_path: Path) -> None:
    words = two_words(tmp_path / "words.wav")
    await meta.plan_user(UserPlan(number=USER, ringing_ms=50, answer_ms=1750, early_media=True, play=words))
    agent = await dial(then="listen", FILE=str(tmp_path / "agent"))
    await agent.row()
    agent_heard = read_wav(tmp_path / "agent.wav")
    assert not tone_spans(agent_heard, 700)
    # The end of the sound, which was still going on when the user answered.
    assert sum(end - start for start, end in tone_spans(agent_heard, 1200)) <= 0.4


@pytest.mark.parametrize(
    ("plan", "result", "words"),
    [
        ({"answer": "reject", "answer_ms": 150}, "BUSY/17", "declined"),
        ({"answer": "busy", "answer_ms": 50}, "BUSY/17", "declined"),
        ({"answer": "ignore", "behaviour": Behaviour(ring_s=0.4)}, "NOANSWER/19", "did not answer"),
        ({"callable": False}, "CHANUNAVAIL/20", "138001"),
        ({"permission": False}, "CHANUNAVAIL/21", "138006"),
    ],
)
async def test_how_it_ended_is_in_the_dialplan_and_in_the_row(
    dial: Any, meta: SimulatorClient, plan: dict[str, Any], result: str, words: str
) -> None:
    await meta.plan_user(UserPlan(number=USER, **plan))
    agent = await dial()
    assert await agent.result() == result
    row = await agent.row()
    assert words in row["reason"]
    assert row["hangup_cause"] == int(result.partition("/")[2])
    assert not await meta.requests(action="terminate")


@pytest.mark.parametrize(
    ("state", "result", "code"),
    [
        (NumberState(concurrent_calls=0), "CONGESTION/34", 138002),
        (NumberState(payment_valid=False), "CHANUNAVAIL/21", 131044),
        (NumberState(outbound_available=False), "CHANUNAVAIL/21", 138013),
        (NumberState(outbound_suspended=True), "CHANUNAVAIL/21", 138014),
        (NumberState(calling_enabled=False), "CHANUNAVAIL/21", 138000),
    ],
)
async def test_what_the_number_may_not_is_a_failure_with_metas_code(
    stack: Stack, dial: Any, meta: SimulatorClient, state: NumberState, result: str, code: int
) -> None:
    await meta.set_number(stack.number.phone_number_id, state)
    agent = await dial()
    assert await agent.result() == result
    row = await agent.row()
    assert (row["meta_error_code"], row["ended_by"], row["meta_call_id"]) == (code, "system", None)
    assert row["meta_error_text"]


async def test_a_second_call_to_the_same_user_is_refused(dial: Any, meta: SimulatorClient) -> None:
    await meta.plan_user(UserPlan(number=USER, answer="ignore"))
    first = await dial()
    await first.row("ringing")
    second = await dial()
    assert await second.result() == "CHANUNAVAIL/21"
    assert (await second.row())["meta_error_code"] == 138003
    await first.hang_up()


@pytest.mark.parametrize(
    ("fault", "result", "code"),
    [
        (GraphFault(action="connect", code=138005, http_status=429), "CONGESTION/34", 138005),
        (GraphFault(action="connect", code=4, http_status=429, message="Too many calls"), "CONGESTION/34", 4),
        (GraphFault(action="connect", code=2, http_status=500, message="Service down"), "CHANUNAVAIL/38", 2),
    ],
)
async def test_a_meta_that_is_overloaded_or_ill_is_asked_once(
    dial: Any, meta: SimulatorClient, fault: GraphFault, result: str, code: int
) -> None:
    await meta.fail(fault)
    agent = await dial()
    assert await agent.result() == result
    row = await agent.row()
    assert (row["meta_error_code"], row["ended_by"]) == (code, "system")
    assert len(await meta.requests(action="connect")) == 1


@pytest.mark.parametrize(
    ("fault", "extra"),
    [
        (GraphFault(action="connect", disconnect=True, applied=True), {}),
        (GraphFault(action="connect", code=1, http_status=500, applied=True), {}),
        (GraphFault(action="connect", delay_ms=1500, applied=True), {}),
        # Webhooks without what we gave the call: number and user tell it.
        (GraphFault(action="connect", disconnect=True, applied=True), {"biz_opaque_callback_data": ""}),
    ],
    ids=["lost", "an error", "late", "lost and unnamed"],
)
async def test_a_call_whose_reply_is_lost_is_found_by_its_webhooks(
    dial: Any, meta: SimulatorClient, fault: GraphFault, extra: dict[str, str]
) -> None:
    await meta.fail(fault)
    await meta.plan_user(UserPlan(number=USER, answer_ms=300, behaviour=Behaviour(extra=extra)))
    agent = await dial()
    row = await agent.row("connected")
    phone = await agent.phone()
    assert row["meta_call_id"] == phone.id
    await phone.wait(audio=True, timeout=PATIENCE)
    assert len(await meta.requests(action="connect")) == 1
    await agent.hang_up()
    await phone.wait(closed=True, timeout=PATIENCE)


async def test_a_call_that_meta_takes_after_all_is_ended_there(dial: Any, meta: SimulatorClient) -> None:
    """No reply, and no webhook either while anybody waits: when they come the agent is gone, and nobody may ring on."""
    await meta.fail(GraphFault(action="connect", disconnect=True, applied=True))
    await meta.plan_user(UserPlan(number=USER, answer="ignore", webhooks=WebhookOptions(delay_ms=4000)))
    agent = await dial()
    assert await agent.result() == "CHANUNAVAIL/38"
    row = await agent.row()
    assert "Meta cannot be reached" in row["reason"]
    phone = await agent.phone()
    facts = await phone.wait(state="ended", timeout=PATIENCE)
    assert facts["ended_by"] == "business"


@pytest.mark.parametrize("setup", ["active", "passive"])
async def test_accepted_may_come_before_the_answer(dial: Any, meta: SimulatorClient, setup: Any) -> None:
    await meta.plan_user(UserPlan(number=USER, setup=setup, connect_ms=700, answer_ms=100, play=tone(1000)))
    agent = await dial()
    phone = await agent.phone()
    await phone.wait(audio=True, timeout=PATIENCE)
    assert (await agent.row("connected"))["accepted_at"]
    await phone.hang_up()
    row = await agent.row()
    assert (row["ended_by"], row["reason"]) == ("user", "the user hung up")
    # Dial's own status of a call that was answered.
    assert (await agent.result()).startswith("ANSWER/")


async def test_an_answer_that_never_comes_ends_the_call_in_words(dial: Any, meta: SimulatorClient) -> None:
    await meta.plan_user(UserPlan(number=USER, answer_ms=100, webhooks=WebhookOptions(lose_connect=True)))
    agent = await dial()
    assert await agent.result() == "CHANUNAVAIL/41"
    row = await agent.row()
    assert "connect webhook" in row["reason"]
    assert (await (await agent.phone()).wait(state="ended", timeout=PATIENCE))["ended_by"] == "business"


async def test_webhooks_may_come_twice_and_all_at_once(dial: Any, meta: SimulatorClient) -> None:
    await meta.hold_webhooks()
    await meta.plan_user(UserPlan(number=USER, answer_ms=100, play=tone(1000)))
    agent = await dial()
    phone = await agent.phone()
    await phone.wait(state="connected", timeout=PATIENCE)
    released = await meta.release_webhooks(Release(shape="merged", backwards=True))
    assert len(released["events"]) == 3
    await phone.wait(audio=True, timeout=PATIENCE)
    body = {"raw": released["body"]}
    assert (await meta.inject(Injection(**body)))["status"] == 200
    await agent.row("connected")
    await phone.end()
    assert (await agent.row())["ended_by"] == "user"


async def test_an_agent_who_gives_up_stops_the_users_phone(dial: Any, meta: SimulatorClient) -> None:
    await meta.plan_user(UserPlan(number=USER, answer="ignore"))
    agent = await dial()
    await agent.row("ringing")
    phone = await agent.phone()
    given_up = time.time()
    await agent.hang_up()
    facts = await phone.wait(state="ended", timeout=PATIENCE)
    assert facts["ended_by"] == "business"
    assert facts["times"]["ended"] - given_up < 1.0
    row = await agent.row()
    assert (row["ended_by"], row["accepted_at"]) == ("pbx", None)


async def test_an_agent_who_gives_up_before_meta_has_replied_stops_it_too(dial: Any, meta: SimulatorClient) -> None:
    await meta.fail(GraphFault(action="connect", delay_ms=800))
    await meta.plan_user(UserPlan(number=USER, answer="ignore"))
    agent = await dial()
    await agent.row("dialing")
    await agent.hang_up()
    assert (await agent.row())["ended_by"] == "pbx"
    facts = await (await agent.phone()).wait(state="ended", timeout=PATIENCE)
    assert facts["ended_by"] == "business"


async def test_digits_of_the_agent_reach_the_user(dial: Any, meta: SimulatorClient) -> None:
    await meta.plan_user(UserPlan(number=USER, answer_ms=100))
    agent = await dial(then="digits")
    phone = await agent.phone()
    facts = await phone.wait(dtmf="0123456789*#", timeout=PATIENCE)
    assert facts["dtmf"] == "0123456789*#"
    await agent.hang_up()


async def test_an_application_places_the_call_and_hears_the_users_digits(office: Office, meta: SimulatorClient) -> None:
    """As the contact centre does it: its own channel to the user, in a bridge with the agent's."""
    await meta.plan_user(UserPlan(number=USER, answer_ms=200, play=tone(1000)))
    ari, agent_id, call = office.ari, channel_id(), str(uuid.uuid4())
    with await ari.channels.create(
        endpoint="Local/read@agent/n", channel_id=agent_id, variables={"__CALL": call}
    ) as channel:
        agent = Agent(office, call, channel)
        await channel.wait_for(StasisStart, timeout=PATIENCE)
        await channel.dial()
        endpoint = (
            f"WebSocket/whatsapp/c(opus)nf(json)v(to={USER},number={office.stack.number.phone_number_id},call={call})"
        )
        with await ari.channels.create(endpoint=endpoint, originator=agent_id) as leg:
            await leg.wait_for(StasisStart, timeout=PATIENCE)
            await leg.dial()
            await leg.wait_for(ChannelStateChange, timeout=PATIENCE, where=lambda event: event.channel.state == "Up")
            row = await agent.row("connected")
            assert row["linkedid"] == await ari.channels.get_variable(agent_id, "CHANNEL(linkedid)")
            with await ari.bridges.create() as bridge:
                await bridge.add_channel(agent_id, leg.id)
                phone = await agent.phone()
                await phone.wait(audio=True, timeout=PATIENCE)
                await phone.press("7")
                assert await agent.result() == "7"
                await phone.hang_up()
                assert (await leg.wait_for(ChannelDestroyed, timeout=PATIENCE)).cause == 16
                await bridge.destroy()
        await channel.hangup()
    await nothing_left(office.stack)


async def test_a_number_may_have_a_plus(dial: Any, meta: SimulatorClient) -> None:
    await meta.plan_user(UserPlan(number=USER, answer="reject", answer_ms=50))
    agent = await dial(f"+{USER}")
    assert await agent.result() == "BUSY/17"
    assert (await agent.row())["user_number"] == USER


async def test_what_is_no_number_is_not_dialled(dial: Any, meta: SimulatorClient) -> None:
    agent = await dial("4915112345678901234")
    assert await agent.result() == "CHANUNAVAIL/28"
    assert not await meta.requests(action="connect")
