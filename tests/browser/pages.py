"""Pages of a real Chromium that tell on themselves: what went wrong in one fails its test."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Error, Page, Request, Response

from ari_app.runtime.packages import cache_folder

Scheme = Literal["light", "dark"]
Size = tuple[int, int]

PHONE_SIZE: Size = (390, 844)
DESKTOP_SIZE: Size = (1280, 800)
WIDE_SIZE: Size = (1720, 1000)

ACTION_LIMIT_MS = 10_000
"""Longest wait for an element or a page."""

_PROJECT = Path(__file__).parents[2]


def screenshots_folder() -> Path:
    """test-output/screenshots of the checkout, or of our cache if the checkout is not ours to write."""
    base = _PROJECT if os.access(_PROJECT, os.W_OK) else cache_folder()
    return base / "test-output/screenshots"


@dataclass
class Pages:
    """Opens pages, each in a context of its own (no cookies of another), and remembers what they complain of."""

    browser: Browser
    complaints: list[str] = field(default_factory=list)
    """Errors on the console, uncaught exceptions, requests without a reply, replies of 500 and above."""
    expected: list[str] = field(default_factory=list)
    """Parts of complaints that this test provokes; see `expect`."""
    _contexts: list[BrowserContext] = field(default_factory=list)

    async def open(
        self,
        address: str | None = None,
        *,
        size: Size = DESKTOP_SIZE,
        scheme: Scheme = "light",
        permissions: Sequence[str] = (),
        javascript: bool = True,
    ) -> Page:
        """A new page in a new context, at `address` if given."""
        context = await self.browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            permissions=list(permissions),
            java_script_enabled=javascript,
            reduced_motion="reduce",
            locale="en-GB",
            timezone_id="UTC",
        )
        self._contexts.append(context)
        context.set_default_timeout(ACTION_LIMIT_MS)
        page = await context.new_page()
        self.watch(page)
        if address is not None:
            await page.goto(address)
        return page

    def watch(self, page: Page) -> None:
        """Listen to the complaints of a page that was opened in another way, such as a pop-up."""
        page.on("console", self._console)
        page.on("pageerror", self._uncaught)
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)

    def expect(self, part: str) -> None:
        """Complaints with this text are what the test is about ("status of 403")."""
        self.expected.append(part)

    def unexpected(self) -> list[str]:
        """What went wrong and was not expected."""
        return [said for said in self.complaints if not any(part in said for part in self.expected)]

    async def close(self) -> None:
        """Give all contexts back."""
        for context in self._contexts:
            await context.close()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            where = message.location
            self.complaints.append(f"console: {message.text} ({where.get('url')}:{where.get('lineNumber')})")

    def _uncaught(self, error: Error) -> None:
        self.complaints.append(f"uncaught: {error}")

    def _answered(self, reply: Response) -> None:
        if reply.status >= 500:
            self.complaints.append(f"status {reply.status}: {reply.url}")

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the page itself let go of it: a stream, at its end
            self.complaints.append(f"no reply: {request.method} {request.url}: {request.failure}")


async def shot(page: Page, name: str, *, whole: bool = False) -> Path:
    """Save what the page looks like as <name>.png; `whole` takes in what lies below the window's edge."""
    path = screenshots_folder() / f"{name}.png"
    await page.screenshot(path=path, full_page=whole, animations="disabled")
    return path


async def shots(
    page: Page,
    name: str,
    *,
    schemes: Sequence[Scheme] = ("light", "dark"),
    sizes: Sequence[Size] = (PHONE_SIZE, DESKTOP_SIZE),
    whole: bool = False,
) -> list[Path]:
    """Save the page in each scheme and size as <name>-<scheme>-<width>.png; it is left in the first of them."""
    made = []
    for scheme in schemes:
        await page.emulate_media(color_scheme=scheme)
        for width, height in sizes:
            await page.set_viewport_size({"width": width, "height": height})
            made.append(await shot(page, f"{name}-{scheme}-{width}", whole=whole))
    await page.emulate_media(color_scheme=schemes[0])
    await page.set_viewport_size({"width": sizes[0][0], "height": sizes[0][1]})
    return made
