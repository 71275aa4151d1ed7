"""One record: its steps, its sounds, and who may see and hear them."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from ari_app.store.console.users import Role
from tests.integration.console.desk import Browser, Desk
from tests.integration.console.history import RECORDING, VOICEMAIL, History, address, linkedid, write_tone


async def sound(browser: Browser, path: str, **headers: str) -> tuple[int, bytes, aiohttp.ClientResponse]:
    async with browser.session.get(browser.base + path, headers=headers) as response:
        return response.status, await response.read(), response


async def test_a_record_tells_each_step_of_the_call(desk: Desk, history: History) -> None:
    (call,) = await desk.fetch("SELECT * FROM pbx.calls WHERE linkedid = $1", linkedid(30))
    (grace,) = await desk.fetch("SELECT id FROM pbx.agents WHERE endpoint = 'PJSIP/1002'")
    await desk.fetch(
        "INSERT INTO pbx.offers (id, call_id, agent_id, group_name, started_at, ended_at, outcome, reason) "
        "VALUES ($1, $2, $3, 'Sales', $4, $4::timestamptz + interval '4.2 s', 'rejected', 'the phone said 486')",
        uuid.uuid4(),
        call["id"],
        grace["id"],
        call["received_at"],
    )
    await desk.fetch(
        "UPDATE pbx.calls SET path = '{menu:Welcome,digits:1,group:Sales,transfer:1003}', "
        "hold_seconds = 11 WHERE id = $1",
        call["id"],
    )
    await desk.fetch("INSERT INTO whatsapp.numbers (phone_number_id, display_number) VALUES ('901', '901') ")
    await desk.fetch(
        "INSERT INTO whatsapp.calls (id, meta_call_id, phone_number_id, direction, user_id, user_number, user_name, "
        "state, linkedid, received_at, accepted_at, ended_at, ended_by, hangup_cause, reason, payload, "
        "meta_error_code, meta_error_text) "
        "VALUES ($1, 'wacid.30', '901', 'inbound', '4915110030', '4915110030', '<i>Ida</i>', 'ended', "
        "$2, $3, $3, $4, 'user', 16, 'the user hung up', '<script>order=7</script>', 138000, 'it was <b>bad</b>')",
        uuid.uuid4(),
        linkedid(30),
        call["received_at"],
        call["ended_at"],
    )
    browser = await desk.signed_in(Role.REPORTING)
    text = (await browser.get(address(30) + "?zone=Europe/Berlin")).text
    steps = text.split('class="timeline')[1].split("</ol>")[0]
    told = [
        "A WhatsApp user calls",
        "The application takes the call",
        "Menu Welcome",
        "Pressed 1",
        "Group Sales",
        "The caller begins to wait",
        "Grace&#39;s phone rings for Sales: rejected",
        "User and Ada are connected",
        "held the user",
        "Transferred to 1003",
        "The user ends the call: the user hung up (cause 16, hung up)",
    ]
    places = [steps.find(words) for words in told]
    assert -1 not in places, told[places.index(-1)]
    assert ">12:30:00<" in steps
    assert "00:00:11" in text
    assert "the phone said 486" in text
    assert "4.2 s" in text
    for evil in ("<i>Ida", "<script>order", "<b>bad"):
        assert evil not in text
    assert "&lt;script&gt;order=7&lt;/script&gt;" in text
    assert "138000 it was" in text
    await desk.fetch("DELETE FROM whatsapp.calls WHERE meta_call_id = 'wacid.30'")
    await desk.fetch("DELETE FROM whatsapp.numbers WHERE phone_number_id = '901'")


async def test_a_recording_is_drawn_and_can_be_heard_in_parts(desk: Desk, history: History) -> None:
    browser = await desk.signed_in(Role.REPORTING)
    text = (await browser.get(address(0))).text
    assert f'src="{address(0)}/recording"' in text
    assert "What the caller hears" in text
    caller, heard = (text.split(f'class="lane-{n}" d="')[1].split('"')[0].split("M")[1:] for n in (1, 2))
    assert len(caller) == len(heard) == 240
    assert {float(stroke.split("v")[1]) > 10 for stroke in caller[:118]} == {False}
    assert {float(stroke.split("v")[1]) > 10 for stroke in caller[122:]} == {True}
    assert {float(stroke.split("v")[1]) > 10 for stroke in heard[:118]} == {True}
    assert {float(stroke.split("v")[1]) > 10 for stroke in heard[122:]} == {False}

    path = address(0) + "/recording"
    status, content, response = await sound(browser, path)
    assert (status, content) == (200, history.recording)
    assert response.headers["Accept-Ranges"] == "bytes"
    assert response.content_type == "audio/wav"
    size = len(history.recording)
    for asked, part, where in (
        ("bytes=0-99", history.recording[:100], f"bytes 0-99/{size}"),
        ("bytes=1000-", history.recording[1000:], f"bytes 1000-{size - 1}/{size}"),
        ("bytes=-44", history.recording[-44:], f"bytes {size - 44}-{size - 1}/{size}"),
    ):
        status, content, response = await sound(browser, path, Range=asked)
        assert (status, response.headers["Content-Range"]) == (206, where)
        assert content == part
    status, _, response = await sound(browser, path, Range=f"bytes={size}-")
    assert (status, response.headers["Content-Range"]) == (416, f"bytes */{size}")

    message = (await browser.get(address(1))).text
    assert f'src="{address(1)}/voicemail"' in message
    assert (await sound(browser, address(1) + "/voicemail", Range="bytes=0-3"))[1] == b"RIFF"
    assert (await sound(browser, address(0) + "/voicemail"))[0] == 404
    assert (await sound(browser, address(1) + "/recording"))[0] == 404


async def test_nobody_sees_or_hears_calls_of_others(desk: Desk, history: History) -> None:
    (ada,) = await desk.fetch("SELECT id FROM pbx.agents WHERE endpoint = 'PJSIP/1001'")
    agent = await desk.signed_in(Role.AGENT, agent_id=ada["id"])
    sales = await desk.signed_in(Role.SUPERVISOR, groups=("Sales",))
    support = await desk.signed_in(Role.SUPERVISOR, groups=("Support",))
    for browser, open_to in ((agent, {0}), (sales, {0, 1}), (support, {2, 4 - 2})):
        for n in (0, 1, 2):
            pages = [address(n), *([address(0) + "/recording"] if n == 0 else [])]
            pages += [address(1) + "/voicemail"] if n == 1 else []
            for page in pages:
                assert (await sound(browser, page, Accept="text/html"))[0] == (200 if n in open_to else 404), page
    stranger = desk.browser()
    for page in (address(0), address(0) + "/recording", address(1) + "/voicemail"):
        assert (await stranger.get(page)).path.startswith("/sign-in")
    await desk.fetch("UPDATE console.users SET agent_id = NULL")


@pytest.fixture
async def elsewhere(desk: Desk, history: History, tmp_path: Path) -> AsyncIterator[list[str]]:
    """Names of files that are no recordings, as a row might have them."""
    outside = tmp_path / "secret.wav"
    write_tone(outside, channels=2)
    folder = desk.folders.recordings_folder
    (folder / "link.wav").symlink_to(outside)
    (folder / "folder.wav").mkdir()
    yield [str(outside), f"../../../../../../../..{outside}", "link.wav", "folder.wav", "", ".", "nothing.wav"]
    (folder / "link.wav").unlink()
    (folder / "folder.wav").rmdir()
    await desk.fetch("DELETE FROM pbx.recordings WHERE file <> '2026/past-0.wav'")
    await desk.fetch("DELETE FROM pbx.voicemails WHERE NOT id = ANY ($1)", [history.message, history.other_message])


async def test_no_file_is_served_that_is_not_in_the_folder(desk: Desk, elsewhere: list[str]) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    for n, file in enumerate(elsewhere, start=40):
        await desk.fetch(RECORDING.replace("connected_at", "received_at"), uuid.uuid4(), file, linkedid(n))
        await desk.fetch(VOICEMAIL, uuid.uuid4(), "Sales", file, linkedid(n))
        for kind in ("recording", "voicemail"):
            assert (await sound(browser, f"{address(n)}/{kind}"))[0] == 404, file
        page = await browser.get(address(n))
        assert page.status == 200
        if file:
            assert "The file is not here." in page.text
            assert "<audio" not in page.text
    for path in ("..%2F..%2Fetc%2Fpasswd", "%252e%252e", "x%00", "'%20OR%201=1", "%F0%9F%92%A9"):
        for kind in ("", "/recording", "/voicemail"):
            assert (await browser.get(f"/reports/records/{path}{kind}")).status == 404


async def test_a_file_that_is_no_sound_is_told_and_not_drawn(desk: Desk, history: History) -> None:
    for n, content in ((60, b""), (63, b"RIFF\0\0\0\0WAVE"), (66, b"#!/bin/sh" * 1000)):
        (desk.folders.recordings_folder / f"bad-{n}.wav").write_bytes(content)
        await desk.fetch(RECORDING, uuid.uuid4(), f"bad-{n}.wav", linkedid(n))
        browser = await desk.signed_in(Role.ADMINISTRATOR)
        assert "The file is not here." in (await browser.get(address(n))).text
    await desk.fetch("DELETE FROM pbx.recordings WHERE file LIKE 'bad-%'")
