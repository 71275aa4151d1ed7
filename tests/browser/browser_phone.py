"""The simulator's phone page, as a person uses it; and what its loudspeaker plays, as samples."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
from playwright.async_api import Page, expect

from ari_app.media.wav import Sound, sine, write_wav
from tests.browser.pages import PHONE_SIZE, Pages, Scheme, Size

RATE = 48_000
FAKE_MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")

#: Takes what the loudspeaker plays from the browser's own audio graph: signed 16 bits at 48 kHz, in base64.
_LISTEN = """
async (seconds) => {
  const context = new AudioContext({ sampleRate: 48000 });
  await context.resume();
  const source = context.createMediaStreamSource(document.getElementById("loudspeaker").srcObject);
  const taker = context.createScriptProcessor(4096, 1, 1);
  const wanted = seconds * 48000;
  const samples = new Int16Array(wanted);
  let taken = 0;
  await new Promise((resolve) => {
    taker.onaudioprocess = (event) => {
      for (const sample of event.inputBuffer.getChannelData(0)) {
        if (taken < wanted) samples[taken++] = Math.max(-1, Math.min(1, sample)) * 32767;
      }
      if (taken === wanted) resolve();
    };
    source.connect(taker);
    taker.connect(context.destination);
  });
  await context.close();
  let text = "";
  for (const byte of new Uint8Array(samples.buffer)) text += String.fromCharCode(byte);
  return btoa(text);
}
"""


def microphone_arguments(folder: Path, hertz: float, level_dbfs: float) -> tuple[str, ...]:
    """Chromium's arguments for a microphone that hears a tone without end."""
    path = folder / "microphone.wav"
    write_wav(path, sine(hertz, 10, RATE, level_dbfs))
    return (*FAKE_MICROPHONE, f"--use-file-for-fake-audio-capture={path}")


class BrowserPhone:
    """The page; make it with `open`."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.state = page.locator("#state")
        self.clock = page.get_by_role("timer")

    @classmethod
    async def open(
        cls, pages: Pages, address: str, *, size: Size = PHONE_SIZE, scheme: Scheme = "light"
    ) -> BrowserPhone:
        """Opens the page, with the microphone allowed and its sound unprocessed, and waits until it is online."""
        page = await pages.open(f"{address}?raw", size=size, scheme=scheme, permissions=["microphone"])
        await expect(page.locator("#line")).to_have_text("online")
        return cls(page)

    async def call(self) -> None:
        """Press the green button."""
        await self.press("Call")

    async def press(self, button: str) -> None:
        """Press the button of this name."""
        await self.page.get_by_role("button", name=button, exact=True).click()

    async def shows(self, words: str, *, timeout: float = 15.0) -> None:
        """Wait for these words below the business's name."""
        await expect(self.state).to_contain_text(words, timeout=timeout * 1000)

    async def hear(self, seconds: float) -> Sound:
        """What the loudspeaker plays from now on."""
        raw = base64.b64decode(await self.page.evaluate(_LISTEN, seconds))
        return Sound(np.frombuffer(raw, dtype="<i2") / 32768.0, RATE)
