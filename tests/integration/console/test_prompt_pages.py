"""Prompts in the console: uploaded, heard, replaced, refused; and no way out of their folder."""

import io
import math
import struct
import wave
from pathlib import Path

import aiohttp
import pytest

from ari_app.console.config import ConsoleConfig
from ari_app.console.keys import CONFIG
from ari_app.console.sounds import find_sound, within
from ari_app.store.console.users import Role
from tests.integration.console.desk import Browser, Desk
from tests.integration.console.test_pages import stamp


def tone(seconds: float = 0.5, hertz: int = 440) -> bytes:
    """A WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8000)
        samples = (round(12_000 * math.sin(2 * math.pi * hertz * n / 8000)) for n in range(int(8000 * seconds)))
        writer.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return file.getvalue()


def upload(browser: Browser, content: bytes, filename: str = "../../etc/passwd.wav", **fields: str) -> aiohttp.FormData:
    data = aiohttp.FormData({"token": browser.token, **fields})
    data.add_field("file", io.BytesIO(content), filename=filename, content_type="audio/wav")
    return data


async def test_a_number_gets_an_entry_prompt_that_can_be_heard_replaced_and_taken_back(desk: Desk) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    page, path = "/channels/15550783881/voice", "/channels/15550783881/voice/entry_prompt"
    opened = await browser.get(page)
    done = await browser.post(path, data=upload(browser, tone(), stamp=stamp(opened.text)))
    assert done.path == page, done.text
    (route,) = await desk.fetch("SELECT entry_prompt FROM pbx.routes WHERE number = '15550783881'")
    assert route["entry_prompt"] == "prompt:15550783881-entry"
    assert "/sounds/prompt/15550783881-entry" in done.text

    heard = await browser.get("/sounds/prompt/15550783881-entry", headers={"Range": "bytes=0-99"})
    assert heard.status == 206
    assert heard.headers["Content-Type"] == "audio/wav"
    assert heard.headers["Content-Range"].startswith("bytes 0-99/")

    before = list(desk.folders.prompts_folder.iterdir())
    assert [file.name.rpartition("-")[0] for file in before] == ["15550783881-entry"]
    replaced = await browser.post(path, data=upload(browser, tone(hertz=880), stamp=stamp(done.text)))
    assert "is replaced" in replaced.text
    after = list(desk.folders.prompts_folder.iterdir())
    assert len(after) == 1
    assert after != before

    back = await browser.post(path, {"stamp": stamp(replaced.text), "action": "default", "media": ""})
    assert back.path == page
    (route,) = await desk.fetch("SELECT entry_prompt FROM pbx.routes WHERE number = '15550783881'")
    assert route["entry_prompt"] == "sound:queue-thankyou"
    await browser.get("/prompts")
    assert (await browser.post("/prompts/15550783881-entry/remove")).path == "/prompts"
    assert not list(desk.folders.prompts_folder.iterdir())
    rows = await desk.fetch("SELECT action FROM console.audit WHERE kind = 'prompt' ORDER BY id")
    assert [row["action"] for row in rows] == ["saved", "saved", "removed"]


async def test_a_prompt_in_use_stays(desk: Desk) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    await browser.get("/prompts")
    await browser.post("/prompts/upload", data=upload(browser, tone(), name="bell"))
    opened = await browser.get("/channels/15550783881/voice")
    fields = {"stamp": stamp(opened.text), "media": "prompt:bell"}
    await browser.post("/channels/15550783881/voice/waiting_prompt", fields)
    refused = await browser.post("/prompts/bell/remove")
    assert refused.status == 409
    assert "is in use" in refused.text
    opened = await browser.get("/channels/15550783881/voice")
    await browser.post("/channels/15550783881/voice/waiting_prompt", {"stamp": stamp(opened.text), "media": ""})
    assert (await browser.post("/prompts/bell/remove")).status == 200


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("fine", b"#!/bin/sh\nrm -rf /\n", "no WAV, MP3, OGG or M4A"),
        ("fine", b"RIFF\0\0\0\0WAVE", "cannot be"),
        ("../../evil", tone(), "no name for a prompt"),
        ("evil/../../x", tone(), "no name for a prompt"),
    ],
)
async def test_what_is_no_prompt_is_refused_in_words(desk: Desk, name: str, content: bytes, said: str) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    await browser.get("/prompts")
    answer = await browser.post("/prompts/upload", data=upload(browser, content, name=name))
    assert answer.status == 422
    assert said in answer.text
    assert not list(desk.folders.prompts_folder.parent.rglob("*evil*"))


async def test_an_upload_that_is_too_large_is_cut_off(desk: Desk) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    await browser.get("/prompts")
    try:
        answer = await browser.post("/prompts/upload", data=upload(browser, bytes(53 * 1024 * 1024), name="big"))
    except aiohttp.ClientConnectionError:
        return  # the connection was cut before all was sent
    assert answer.status == 413


async def test_an_upload_without_its_token_is_not_kept(desk: Desk) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    data = aiohttp.FormData({"token": "forged", "name": "forged"})
    data.add_field("file", tone(), filename="a.wav")
    assert (await browser.post("/prompts/upload", data=data)).status == 403
    assert not await desk.fetch("SELECT FROM pbx.prompts WHERE name = 'forged'")


@pytest.mark.parametrize(
    "path",
    [
        "/sounds/prompt/..%2F..%2Fetc%2Fpasswd",
        "/sounds/prompt/secret",
        "/sounds/asterisk/../secret",
        "/sounds/asterisk/..%2Fsecret",
        "/sounds/asterisk/%2Fetc%2Fpasswd",
        "/sounds/asterisk/link",
        "/sounds/asterisk/hello%00",
    ],
)
async def test_no_sound_is_served_from_elsewhere(desk: Desk, path: str, tmp_path: Path) -> None:
    (tmp_path / "sounds").mkdir()
    (tmp_path / "secret.wav").write_bytes(tone())
    (tmp_path / "sounds" / "hello.wav").write_bytes(tone())
    (tmp_path / "sounds" / "link.wav").symlink_to(tmp_path / "secret.wav")
    folder = tmp_path / "sounds"
    await desk.fetch(
        "INSERT INTO pbx.prompts (name, file, seconds, sha256) VALUES ('secret', $1, 1, 'x') "
        "ON CONFLICT (name) DO UPDATE SET file = excluded.file",
        str(tmp_path / "secret"),
    )
    config = desk.app[CONFIG]
    desk.app._state[CONFIG] = ConsoleConfig(**config.model_dump() | {"sounds_folder": folder})
    try:
        browser = await desk.signed_in(Role.ADMINISTRATOR)
        assert (await browser.get("/sounds/asterisk/hello", headers={"Range": "bytes=0-3"})).status == 206
        assert (await browser.get(path)).status == 404
    finally:
        desk.app._state[CONFIG] = config
        await desk.fetch("DELETE FROM pbx.prompts WHERE name = 'secret'")


def test_a_file_is_within_a_folder_or_it_is_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.wav").write_bytes(b"x")
    (tmp_path / "b.wav").write_bytes(b"x")
    assert within(folder, "a.wav") == folder / "a.wav"
    assert within(folder, folder / "a.wav") == folder / "a.wav"
    for outside in ("../b.wav", tmp_path / "b.wav", ".", "", "nothing.wav", "a.wav/..", "\0"):
        assert within(folder, outside) is None
    assert within(tmp_path / "nowhere", "a.wav") is None
    for name in ("../b", "/etc/passwd", "", ".", "a b", "a\n", "x" * 300):
        assert find_sound(folder, name) is None
