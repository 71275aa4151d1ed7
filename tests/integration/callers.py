"""Callers for tests of the application, as the bridge brings them, and SIP systems that take their calls."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from ari_app.ari import AriClient, Channel, Subscription, channel_id
from ari_app.ari.events import ChannelDestroyed, ChannelStateChange, PlaybackStarted, StasisStart
from ari_app.runtime.processes import Process
from ari_app.runtime.stack import Stack
from ari_app.runtime.watch import LogWatch

#: Longer than anything here takes on a machine that has other things to do, s.
PATIENCE = 20.0


@dataclass
class Caller:
    """Somebody who calls, with all that Asterisk does meanwhile."""

    channel: Channel
    all_events: Subscription

    async def is_answered(self) -> None:
        await self.channel.wait_for(
            ChannelStateChange, timeout=PATIENCE, where=lambda event: event.channel.state == "Up"
        )

    async def hears(self, media: str) -> None:
        await self.all_events.wait_for(
            PlaybackStarted, timeout=PATIENCE, where=lambda event: event.playback.media_uri == media
        )

    async def press(self, digits: str, *, between: int = 60) -> None:
        """As the bridge passes on what was pressed in WhatsApp; `between` two digits, ms."""
        await self.channel.send_dtmf(digits, duration=60, between=between)

    async def hang_up(self) -> None:
        await self.channel.hangup(reason_code=16)

    async def is_hung_up(self) -> int:
        """The cause with which the call ended."""
        return (await self.channel.wait_for(ChannelDestroyed, timeout=PATIENCE)).cause


@dataclass
class House:
    """A running stack, with the tests' own way into Asterisk and PostgreSQL."""

    stack: Stack
    ari: AriClient
    database: asyncpg.Connection

    @property
    def number(self) -> str:
        return self.stack.number.display_number

    @contextlib.asynccontextmanager
    async def caller(
        self, *, context: str = "whatsapp-in", number: str = "", **variables: str
    ) -> AsyncIterator[Caller]:
        """Somebody who calls the business number on WhatsApp, or any number by way of another context."""
        known = {
            "__WHATSAPP_CALL_ID": "wacid.1=",
            "__WHATSAPP_NUMBER_ID": "106540352242922",
            "__WHATSAPP_FROM": "4915112345678",
            "__WHATSAPP_NAME": "Zoë Müller",
        }
        with self.ari.events() as all_events:
            channel = await self.ari.channels.create(
                endpoint=f"Local/{number or self.number}@{context}/n",
                channel_id=channel_id(),
                other_channel_id=channel_id(),
                variables=known | variables if context == "whatsapp-in" else variables or None,
            )
            with channel:
                try:
                    await channel.wait_for(StasisStart, timeout=PATIENCE)
                    await channel.dial(timeout=60)
                    yield Caller(channel, all_events)
                finally:
                    await channel.hangup()

    async def record(self, state: str = "ended") -> dict[str, Any]:
        """The newest call, as soon as it has this state."""
        async with asyncio.timeout(PATIENCE):
            while True:
                row = await self.database.fetchrow("SELECT * FROM pbx.calls ORDER BY received_at DESC LIMIT 1")
                if row is not None and row["state"] == state:
                    return dict(row)
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def house_of(stack: Stack, app: str = "the-bridge") -> AsyncIterator[House]:
    """Whoever enters Asterisk by it is in the Stasis application `app`."""
    asterisk = stack.asterisk
    database = await asyncpg.connect(stack.dsn)
    try:
        async with AriClient(
            asterisk.ari_url, "asterisk-whatsapp", asterisk.ari_password, app, subscribe_all=True
        ) as ari:
            yield House(stack, ari, database)
    finally:
        await database.close()


@dataclass
class SipSystem:
    """A customer's SIP system: SIPp with a scenario, which also answers OPTIONS."""

    port: int
    folder: Path
    _log: LogWatch

    @classmethod
    @contextlib.asynccontextmanager
    async def start(
        cls, stack: Stack, folder: Path, port: int, scenario: str, *transport: str
    ) -> AsyncIterator["SipSystem"]:
        """`transport` are SIPp's options for it; UDP without any."""
        await asyncio.to_thread(folder.mkdir, parents=True)
        (folder / "calls.xml").write_text(scenario, encoding="utf-8")
        command = [
            *stack.closure.command("usr/bin/sipp"),
            *("-sf", "calls.xml", "-i", "127.0.0.1", "-p", str(port), "-aa", "-nostdin"),
            *transport,
            *("-trace_msg", "-message_file", "messages.log", "-trace_logs", "-log_file", "events.log"),
        ]
        process = Process(f"sipp {port}", command, log=folder / "sipp.log", folder=folder)
        with LogWatch(folder / "events.log") as log:
            await process.start()
            try:
                yield cls(port, folder, log)
            finally:
                await process.stop(timeout=2.0)

    async def saw(self, request: str, *, timeout: float = PATIENCE) -> None:
        """Wait for the next such request (INVITE, ACK, CANCEL, BYE) that was not waited for yet."""
        await self._log.line(rf"^{request}$", timeout=timeout)

    def invite(self) -> str:
        """The first INVITE that came, as it was on the wire."""
        text = (self.folder / "messages.log").read_text(encoding="utf-8")
        return "INVITE " + text.partition("\nINVITE ")[2].partition("\n-----")[0]
