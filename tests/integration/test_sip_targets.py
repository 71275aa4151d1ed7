"""Calls that go to a customer's own SIP systems, on a real Asterisk, with SIPp as those systems."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from ari_app.ari.events import ChannelStateChange
from ari_app.calls.sip_target import SipTarget
from ari_app.runtime import sipp
from ari_app.runtime.ports import PortBlock
from ari_app.runtime.stack import Stack, StackOptions
from tests.integration.callers import PATIENCE, Caller, House, SipSystem, house_of

RING_SECONDS = 3
QUALIFY_SECONDS = 2

DIALPLAN = """
[trunk]
exten => _X.,1,Stasis(asterisk-whatsapp,voice,${EXTEN})
 same => n,Hangup()

[internal]
exten => 77,1,Playback(tt-weasels)
 same => n,Hangup()

[outside]
exten => 77,1,Hangup()
"""

#: Answers, and hangs up as soon as the other side has confirmed.
ANSWER_AND_LEAVE = """<?xml version="1.0" encoding="UTF-8"?>
<scenario name="answer and leave">
<recv request="INVITE" rrs="true"><action>
<ereg regexp=".*" search_in="hdr" header="From:" assign_to="caller"/>
<ereg regexp=".*" search_in="hdr" header="To:" assign_to="us"/>
<log message="INVITE"/></action></recv>
<send retrans="500"><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:];tag=[call_number]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:[local_ip]:[local_port]>
Content-Type: application/sdp
Content-Length: [len]

v=0
o=- 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
]]></send>
<recv request="ACK"/>
<pause milliseconds="300"/>
<send retrans="500"><![CDATA[
BYE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From:[$us];tag=[call_number]
To:[$caller]
[last_Call-ID:]
CSeq: 7 BYE
Max-Forwards: 70
Content-Length: 0

]]></send>
<recv response="200"/>
</scenario>
"""


@pytest.fixture(scope="module")
def stack_options() -> StackOptions:
    return StackOptions(app=False, bridge=False, simulator=False, extra_dialplan=DIALPLAN)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def serving(stack: Stack) -> Stack:
    """With little patience for targets that do not answer."""
    text = stack.config.read_text(encoding="utf-8")
    settings = f"[app]\nsip_target_ring_seconds = {RING_SECONDS}\nsip_target_qualify_seconds = {QUALIFY_SECONDS}\n"
    text = text.replace("[app]\n", settings).replace('voip_contexts = ["phones"]', 'voip_contexts = ["internal"]')
    stack.config.write_text(text, encoding="utf-8")
    await stack.app.start()
    return stack


@pytest.fixture
async def house(serving: Stack) -> AsyncIterator[House]:
    async with house_of(serving) as house:
        await house.database.execute("DELETE FROM pbx.calls; DELETE FROM pbx.sip_targets")
        await house.database.execute(
            "UPDATE pbx.routes SET incoming = 'agent_group', menu = NULL, handled_by_sip = true"
        )
        yield house
        async with asyncio.timeout(PATIENCE):
            while await house.ari.channels.list() or await house.ari.bridges.list():
                await asyncio.sleep(0.05)


@pytest.fixture
def ports() -> Iterator[PortBlock]:
    with PortBlock() as block:
        yield block


async def target(house: House, port: int, host: str = "127.0.0.1", **columns: object) -> None:
    """A SIP target of the business number; calls of groups go there and it is VoIP-only, unless said otherwise."""
    row: dict[str, object] = {"number": house.number, "host": host, "port": port, "incoming": "agent_group"}
    row |= {"voip_only": True} | columns
    places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    await house.database.execute(f"INSERT INTO pbx.sip_targets ({', '.join(row)}) VALUES ({places})", *row.values())


def facts(call: dict[str, Any]) -> tuple[str, str, str]:
    return call["status"], call["ended_by"], call["reason"]


async def is_connected(house: House) -> dict[str, Any]:
    return await house.record("connected")


async def test_a_call_goes_on_to_the_next_target_after_503_with_all_it_must_be_told(
    house: House, ports: PortBlock, tmp_path: Path
) -> None:
    first, second = ports.take(), ports.take()
    await target(house, first, priority=1)
    await target(house, second, priority=2)
    async with (
        SipSystem.start(house.stack, tmp_path / "a", first, sipp.refuse(503, "Service Unavailable")),
        SipSystem.start(house.stack, tmp_path / "b", second, sipp.answer(after_ms=200)) as system,
    ):
        async with house.caller(__WHATSAPP_PAYLOAD="order=1;${EXTEN}\r\nEvil: 1 ñ") as caller:
            await caller.is_answered()
            call = await is_connected(house)
            assert call["agent_id"] is None
            await caller.hang_up()
            await system.saw("BYE")
        call = await house.record()
        assert facts(call) == ("Answered", "user", f"the caller hung up, who talked to SIP target 127.0.0.1:{second}")
        assert call["path"] == ["sip", f"sip:127.0.0.1:{first}", f"sip:127.0.0.1:{second}"]
        invite = system.invite()
    assert invite.startswith(f"INVITE sip:{house.number}@127.0.0.1:{second};transport=udp SIP/2.0")
    assert re.search(r'^From: "Zoë Müller" <sip:\+4915112345678@', invite, re.MULTILINE)
    assert re.search(r'^P-Asserted-Identity: "Zoë Müller" <sip:\+4915112345678@', invite, re.MULTILINE)
    assert "\nX-WhatsApp-Call-Id: wacid.1=" in invite
    assert "\nX-WhatsApp-Number-Id: 106540352242922" in invite
    assert "\nX-WhatsApp-Payload: order=1;${EXTEN}??Evil: 1 ?" in invite
    assert "\nEvil:" not in invite


async def test_the_target_hangs_up(house: House, ports: PortBlock, tmp_path: Path) -> None:
    await target(house, port := ports.take())
    async with (
        SipSystem.start(house.stack, tmp_path / "a", port, ANSWER_AND_LEAVE),
        house.caller() as caller,
    ):
        assert await caller.is_hung_up() == 16
    call = await house.record()
    assert facts(call) == ("Answered", "agent", f"SIP target 127.0.0.1:{port} hung up")
    assert call["agent_id"] is None


async def test_targets_by_tcp_get_calls_as_well(house: House, ports: PortBlock, tmp_path: Path) -> None:
    await target(house, port := ports.take(), transport="tcp")
    async with (
        SipSystem.start(house.stack, tmp_path / "a", port, sipp.answer(), "-t", "t1") as system,
        house.caller() as caller,
    ):
        await is_connected(house)
        await caller.hang_up()
        await system.saw("BYE")
    assert "SIP/2.0/TCP" in system.invite()


async def test_targets_by_tls_get_calls_as_well(house: House, ports: PortBlock, tmp_path: Path) -> None:
    await target(house, port := ports.take(), transport="tls")
    certificate, key = certify(tmp_path)
    by_tls = ("-t", "l1", "-tls_cert", certificate, "-tls_key", key)
    async with (
        SipSystem.start(house.stack, tmp_path / "a", port, sipp.answer(), *by_tls) as system,
        house.caller() as caller,
    ):
        await is_connected(house)
        await caller.hang_up()
        await system.saw("BYE")
    assert "SIP/2.0/TLS" in system.invite()
    assert "a=crypto:" in system.invite()


def certify(folder: Path) -> tuple[str, str]:
    """Files with a certificate that somebody has given to himself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sip.example.com")])
    at = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, at - timedelta(days=1), at + timedelta(days=1))
    ).sign(key, hashes.SHA256())
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return str(folder / "certificate.pem"), str(folder / "key.pem")


async def test_when_all_fail_the_record_says_why_for_each(house: House, ports: PortBlock, tmp_path: Path) -> None:
    slow, busy, full = ports.take(), ports.take(), ports.take()
    await target(house, slow, priority=1)
    await target(house, busy, priority=2)
    await target(house, full, priority=3)
    async with (
        SipSystem.start(house.stack, tmp_path / "a", slow, sipp.never_answer()) as waiting,
        SipSystem.start(house.stack, tmp_path / "b", busy, sipp.refuse(486, "Busy Here")),
        SipSystem.start(house.stack, tmp_path / "c", full, sipp.refuse(404, "Not Found")),
        house.caller() as caller,
    ):
        await waiting.saw("CANCEL")
        await caller.hears("sound:vm-nobodyavail")
        await caller.is_hung_up()
    call = await house.record()
    assert call["status"] == "Missed"
    assert call["reason"] == (
        f"SIP target 127.0.0.1:{slow}: no answer in {RING_SECONDS} s; SIP target 127.0.0.1:{busy}: SIP status 486; "
        f"SIP target 127.0.0.1:{full}: SIP status 404"
    )


async def test_a_target_that_says_nothing_at_all_is_given_up(house: House, ports: PortBlock, tmp_path: Path) -> None:
    silent, there = ports.take(), ports.take()
    await target(house, silent, priority=1)
    await target(house, there, priority=2)
    async with (
        SipSystem.start(house.stack, tmp_path / "a", silent, sipp.ignore()),
        SipSystem.start(house.stack, tmp_path / "b", there, sipp.answer()),
        house.caller() as caller,
    ):
        await is_connected(house)
        await caller.hang_up()
    assert (await house.record())["reason"].endswith(f"127.0.0.1:{there}")


async def test_a_caller_who_leaves_while_a_target_rings_stops_it(
    house: House, ports: PortBlock, tmp_path: Path
) -> None:
    await target(house, port := ports.take())
    async with (
        SipSystem.start(house.stack, tmp_path / "a", port, sipp.never_answer()) as system,
        house.caller() as caller,
    ):
        await system.saw("INVITE")
        await caller.all_events.wait_for(
            ChannelStateChange, timeout=PATIENCE, where=lambda event: event.channel.state == "Ringing"
        )
        await caller.hang_up()
        await system.saw("CANCEL", timeout=1)
    assert facts(await house.record()) == (
        "User Abandon",
        "user",
        f"the caller hung up while SIP target 127.0.0.1:{port} was called",
    )


async def test_a_target_gets_no_more_calls_than_its_limit(house: House, ports: PortBlock, tmp_path: Path) -> None:
    await target(house, port := ports.take(), max_calls=1)
    async with SipSystem.start(house.stack, tmp_path / "a", port, sipp.answer()):
        async with house.caller() as first:
            await is_connected(house)
            async with house.caller() as second:
                await second.is_hung_up()
            call = await house.record()
            assert facts(call) == ("Failed", "system", f"SIP target 127.0.0.1:{port}: has 1 calls already")
            await first.hang_up()
            await no_call_is_open(house)
        async with house.caller() as third:
            await is_connected(house)
            await third.hang_up()


async def test_callers_who_come_at_once_do_not_exceed_the_limit(house: House, ports: PortBlock, tmp_path: Path) -> None:
    await target(house, port := ports.take(), max_calls=2)
    async with (
        SipSystem.start(house.stack, tmp_path / "a", port, sipp.answer()),
        contextlib.AsyncExitStack() as callers,
    ):
        for _ in range(5):
            await callers.enter_async_context(house.caller())
        async with asyncio.timeout(PATIENCE):
            while await count(house, "ended") < 3:
                await asyncio.sleep(0.05)
        assert await count(house, "connected") == 2


async def count(house: House, state: str) -> int:
    return int(await house.database.fetchval("SELECT count(*) FROM pbx.calls WHERE state = $1", state))


async def no_call_is_open(house: House) -> None:
    async with asyncio.timeout(PATIENCE):
        while await house.database.fetchval("SELECT count(*) FROM pbx.calls WHERE state <> 'ended'"):
            await asyncio.sleep(0.05)


async def test_a_target_that_does_not_answer_options_is_not_called(
    house: House, ports: PortBlock, tmp_path: Path
) -> None:
    away, there = ports.take(), ports.take()
    await target(house, away, priority=1)
    await target(house, there, priority=2)
    async with SipSystem.start(house.stack, tmp_path / "a", there, sipp.answer()):
        async with asyncio.timeout(PATIENCE):
            while await health(house) != {away: "offline", there: "online"}:
                await asyncio.sleep(0.2)
        # The application trusts "offline" only after the first OPTIONS is due; then people can read it, too.
        async with asyncio.timeout(PATIENCE):
            while await shown_health(house) != {away: "unreachable", there: "reachable"}:
                await asyncio.sleep(0.2)
        async with house.caller() as caller:
            call = await is_connected(house)
            assert call["path"] == ["sip", f"sip:127.0.0.1:{there}"]
            await caller.hang_up()
    await house.database.execute("DELETE FROM pbx.sip_targets")
    async with asyncio.timeout(PATIENCE):
        while await health(house) or await shown_health(house):
            await asyncio.sleep(0.2)


async def shown_health(house: House) -> dict[int, str]:
    """What the application writes down of it, by port."""
    rows = await house.database.fetch("SELECT port, state FROM pbx.sip_target_health")
    return {row["port"]: row["state"] for row in rows}


async def health(house: House) -> dict[int, str | None]:
    """What Asterisk found by OPTIONS, by port."""
    rows = await house.database.fetch("SELECT port FROM pbx.sip_targets")
    ports = {SipTarget("127.0.0.1", row["port"]).health_id: row["port"] for row in rows}
    watched = [e for e in await house.ari.endpoints.list() if e.resource.startswith("whatsapp-health-")]
    return {ports.get(endpoint.resource, 0): endpoint.state for endpoint in watched}


async def test_a_whatsapp_call_goes_to_no_target_that_may_reach_the_telephone_network(
    house: House, ports: PortBlock, tmp_path: Path
) -> None:
    await target(house, port := ports.take(), voip_only=False)
    async with SipSystem.start(house.stack, tmp_path / "a", port, sipp.answer()):
        async with house.caller() as caller:
            await caller.is_hung_up()
        call = await house.record()
        assert facts(call) == (
            "Failed",
            "system",
            f"SIP target 127.0.0.1:{port}: the PSTN guard keeps WhatsApp calls from SIP target 127.0.0.1:{port}",
        )
        assert "PSTN guard" in house.stack.app.log.read_text(encoding="utf-8")
        async with house.caller(context="trunk") as caller:
            await is_connected(house)
            await caller.hang_up()
        assert (await house.record())["channel_type"] == "Voice"


async def test_a_number_without_targets_says_so(house: House) -> None:
    async with house.caller() as caller:
        await caller.is_hung_up()
    assert facts(await house.record()) == (
        "Failed",
        "system",
        "the number has no SIP target for calls of type agent_group",
    )


async def test_only_targets_for_the_routes_type_get_its_calls(house: House, ports: PortBlock) -> None:
    await target(house, ports.take(), incoming="ivr")
    async with house.caller() as caller:
        await caller.is_hung_up()
    assert (await house.record())["reason"] == "the number has no SIP target for calls of type agent_group"


async def test_the_database_refuses_a_sixth_target(house: House) -> None:
    for port in range(5060, 5065):
        await target(house, port)
    with pytest.raises(asyncpg.CheckViolationError, match=r"has 5 SIP targets already; remove one before adding"):
        await target(house, 5065)


async def test_the_database_refuses_the_same_address_twice(house: House) -> None:
    await target(house, 5060)
    with pytest.raises(asyncpg.UniqueViolationError):
        await target(house, 5060, transport="tcp", incoming="ivr")


@pytest.mark.parametrize(
    ("host", "columns"),
    [
        ("SIP.example.com", {}),
        ("sip.example.com;lr", {}),
        ("a b", {}),
        ("", {}),
        ("127.0.0.1", {"port": 0}),
        ("127.0.0.1", {"port": 70000}),
        ("127.0.0.1", {"transport": "ws"}),
        ("127.0.0.1", {"weight": 0}),
    ],
)
async def test_the_database_refuses_a_bad_address(house: House, host: str, columns: dict[str, object]) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await target(house, **{"port": 5060, "host": host} | columns)  # type: ignore[arg-type]


async def goes_to(house: House, destination: str) -> None:
    """The number's callers get a menu that sends all of them there."""
    await house.database.execute(
        "INSERT INTO pbx.menus (name, prompt, timeout_seconds, retries, no_input) "
        "VALUES ('There', 'sound:beep', 1, 0, $1) "
        "ON CONFLICT (name) DO UPDATE SET no_input = excluded.no_input",
        destination,
    )
    await house.database.execute("UPDATE pbx.routes SET incoming = 'ivr', menu = 'There', handled_by_sip = false")


async def test_a_caller_goes_on_in_a_context_that_is_listed(house: House) -> None:
    await goes_to(house, "dialplan:internal,77")
    async with house.caller() as caller:
        call = await house.record()
        assert facts(call) == ("Answered", "system", "went on in the dialplan (internal,77)")
        assert call["path"][-1] == "dialplan:internal,77"
        await in_dialplan(caller, "tt-weasels")
        await caller.hang_up()


async def in_dialplan(caller: Caller, sound: str) -> None:
    """The caller's own half of the Local channel runs Playback(sound)."""
    async with asyncio.timeout(PATIENCE):
        async for event in caller.all_events:
            if getattr(event, "dialplan_app_data", None) == sound:
                return


async def test_a_whatsapp_call_does_not_go_on_in_any_other_context(house: House) -> None:
    await goes_to(house, "dialplan:outside,77")
    async with house.caller() as caller:
        await caller.is_hung_up()
    assert facts(await house.record()) == (
        "Failed",
        "system",
        "the PSTN guard keeps WhatsApp calls from the dialplan context outside",
    )


async def test_a_place_that_the_dialplan_does_not_have_is_told(house: House) -> None:
    await goes_to(house, "dialplan:internal,99")
    async with house.caller() as caller:
        await caller.is_hung_up()
    assert (await house.record())["reason"] == "the dialplan has no extension 99 in context internal"
