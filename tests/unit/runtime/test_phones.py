"""What can be said of the SIP phones without any: their control protocol, accounts, calls and scenarios."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ari_app.runtime import sipp
from ari_app.runtime.baresip import CommandError, Control, configuration
from ari_app.runtime.errors import ProcessError
from ari_app.runtime.phones import Baresip, PhoneCall, PhoneError, PhoneEvent, PhoneTimeoutError, Recording, SipAccount
from ari_app.runtime.processes import Process

ACCOUNT = SipAccount("1001", "secret", port=5070)


def netstring(message: dict[str, Any]) -> bytes:
    body = json.dumps(message, ensure_ascii=False).encode()
    return b"%d:%b," % (len(body), body)


@asynccontextmanager
async def control_of(answers: list[bytes], events: list[dict[str, Any]]) -> AsyncIterator[Control]:
    """A control connection to a baresip that answers each command with the next of these bytes."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for answer in answers:
                await reader.readuntil(b"},")
                writer.write(answer)
        finally:
            writer.close()
            await writer.wait_closed()
            ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        control = Control(reader, writer, events.append)
        task = asyncio.create_task(control.read())
        try:
            yield control
        finally:
            writer.close()
            await asyncio.wait({task})
            task.result()
            await ended.wait()


@pytest.fixture
def phone(tmp_path: Path) -> Baresip:
    return Baresip(ACCOUNT, tmp_path, Process("baresip", ["false"], tmp_path / "baresip.log"), 60)


def event(phone: Baresip, kind: str, call: str = "", **more: str) -> None:
    phone._take({"event": True, "type": kind, "id": call, **more})


# The control connection


async def test_a_command_gets_what_baresip_prints() -> None:
    async with control_of(
        [netstring({"response": True, "ok": True, "data": "call id: x", "token": "1"})], []
    ) as control:
        assert await control.command("dial", "1002") == "call id: x"


async def test_a_refused_command_says_why() -> None:
    answer = netstring({"response": True, "ok": False, "data": "call 7 not found\n", "token": "1"})
    async with control_of([answer], []) as control:
        with pytest.raises(CommandError, match=r"call 7 not found$"):
            await control.command("accept", "7")


async def test_events_come_between_answers_and_in_order() -> None:
    events: list[dict[str, Any]] = []
    names = ["Ångström «✆»", 'a "quoted" name', ""]
    sent = b"".join(netstring({"event": True, "type": "CALL_INCOMING", "peerdisplayname": name}) for name in names)
    answer = sent + netstring({"response": True, "ok": True, "data": "", "token": "1"})
    async with control_of([answer], events) as control:
        await control.command("listcalls")
    assert [event["peerdisplayname"] for event in events] == names


async def test_a_command_on_its_way_fails_when_baresip_ends() -> None:
    async with control_of([b""], []) as control:
        with pytest.raises(CommandError, match="ended"):
            await control.command("listcalls")
        with pytest.raises(CommandError, match="ended"):
            await control.command("listcalls")


async def test_an_answer_that_never_comes_is_not_waited_for() -> None:
    async with control_of([netstring({"event": True, "type": "x"}), b""], []) as control:
        with pytest.raises(TimeoutError):
            await control.command("listcalls", timeout=0.05)


async def test_what_is_no_netstring_is_an_error() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b"HTTP/1.1 200 OK\r\nDate: today")
    with pytest.raises(ProcessError, match="HTTP"):
        await Control(reader, None, print).read()  # type: ignore[arg-type]


# Configuration


def test_the_configuration_binds_everything_to_loopback(tmp_path: Path) -> None:
    text = configuration(tmp_path, 4444, 60)
    assert "sip_listen 127.0.0.1:0\n" in text
    assert "ctrl_tcp_listen 127.0.0.1:4444\n" in text
    assert "net_interface 127.0.0.1\n" in text


def test_an_account_never_shows_its_password() -> None:
    assert "secret" not in repr(ACCOUNT)
    assert ACCOUNT.line(None).startswith("<sip:1001@127.0.0.1:5070;transport=udp>;auth_user=1001;auth_pass=secret;")


@given(before=st.text(max_size=10), bad=st.sampled_from(';<>" \n\t'), after=st.text(max_size=10))
def test_a_password_that_would_change_the_account_line_is_refused(before: str, bad: str, after: str) -> None:
    with pytest.raises(ValueError, match="1001"):
        SipAccount("1001", before + bad + after)


# Waiting


async def test_an_event_that_came_before_it_was_waited_for_is_not_lost(phone: Baresip) -> None:
    event(phone, "CALL_INCOMING", "a", peeruri="sip:4711@127.0.0.1", peerdisplayname="Ada", direction="incoming")
    call = await phone.ringing(timeout=1)
    assert (call.peer_number, call.peer_name, call.direction) == ("4711", "Ada", "incoming")


async def test_an_event_is_given_out_once_and_to_the_right_call(phone: Baresip) -> None:
    for name in ("a", "b"):
        event(phone, "CALL_INCOMING", name)
        event(phone, "CALL_CLOSED", name, param=f"reason {name}")
    first, second = phone.calls
    assert (await phone.wait_for("CALL_CLOSED", call=second, timeout=1)).text == "reason b"
    assert (await phone.wait_for("CALL_CLOSED", timeout=1)).text == "reason a"
    assert (first.close_reason, second.close_reason) == ("reason a", "reason b")
    with pytest.raises(PhoneTimeoutError):
        await phone.wait_for("CALL_CLOSED", timeout=0.01)


async def test_two_may_wait_at_once(phone: Baresip) -> None:
    async with asyncio.TaskGroup() as group:
        ringing = group.create_task(phone.ringing(timeout=1))
        registered = group.create_task(phone.wait_for("REGISTER_OK", timeout=1))
        await asyncio.sleep(0)
        event(phone, "REGISTER_OK")
        event(phone, "CALL_INCOMING", "a")
    assert ringing.result().id == "a"
    assert registered.result().type == "REGISTER_OK"


async def test_a_wait_that_was_in_vain_tells_what_happened_instead(phone: Baresip) -> None:
    event(phone, "CALL_RINGING", "a")
    with pytest.raises(PhoneTimeoutError, match=r"phone 1001: no CALL_INCOMING within 0\.01 s; it saw CALL_RINGING"):
        await phone.ringing(timeout=0.01)


async def test_who_waits_learns_that_baresip_has_ended(phone: Baresip) -> None:
    async def ends() -> None:
        return None

    async def waits() -> None:
        with pytest.raises(PhoneError, match="baresip has ended"):
            await phone.ringing(timeout=5)

    async with asyncio.TaskGroup() as group:
        group.create_task(waits())
        await asyncio.sleep(0)
        await phone._guard(ends())
    await waits()


async def test_digits_are_collected_by_call(phone: Baresip) -> None:
    event(phone, "CALL_ESTABLISHED", "a")
    for digit in "12#":
        event(phone, "CALL_DTMF_START", "a", param=digit)
        event(phone, "CALL_DTMF_END", "a")
    event(phone, "CALL_DTMF_START", "b", param="9")
    first, second = phone.calls
    assert (first.digits, second.digits) == ("12#", "9")
    await first.heard_digits("2#", timeout=0.1)


async def test_a_loudspeaker_opened_twice_at_once_is_one_recording(phone: Baresip, tmp_path: Path) -> None:
    event(phone, "CALL_ESTABLISHED", "a")
    (call,) = phone.calls
    (tmp_path / "heard.wav").touch()
    phone._new_recording(call, 1.0)
    phone._new_recording(call, 2.0)
    assert call.recordings == [Recording(tmp_path / "heard-1.wav", 2.0)]
    (tmp_path / "heard.wav").touch()
    phone._new_recording(call, 3.0)
    assert call.recording == Recording(tmp_path / "heard-2.wav", 3.0)


def test_a_call_without_a_recording_says_so(phone: Baresip) -> None:
    call = PhoneCall(phone, PhoneEvent("DIAL", 0, "x", "", {}))
    with pytest.raises(PhoneError, match="recorded nothing in call x"):
        _ = call.recording


# SIPp


@pytest.mark.parametrize(
    "scenario",
    [
        sipp.refuse(603, "Decline"),
        sipp.refuse(486, "Busy Here", after_ms=200),
        sipp.never_answer(),
        sipp.ignore(),
        sipp.answer(after_ms=100),
        sipp.answer_and_hold(talk_ms=100, hold_ms=100),
        sipp.call(ACCOUNT, "600", talk_ms=100),
    ],
)
def test_scenarios_are_xml_with_whole_sip_messages(scenario: str) -> None:
    steps = list(ElementTree.fromstring(scenario))
    assert steps
    for step in steps:
        if step.tag == "send":
            head, _, body = str(step.text).strip("\n").partition("\n\n")
            lines = head.splitlines()
            assert "SIP/2.0" in lines[0]
            assert all(":" in line or line.startswith("[") for line in lines[1:])
            assert "Content-Length: [len]" in lines
            assert ("Content-Type: application/sdp" in lines) == body.startswith("v=0")
