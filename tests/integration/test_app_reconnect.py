"""The application when the connection to Asterisk is cut: calls go on, and what was missed is made good."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncpg
import pytest

from ari_app.app import Application
from ari_app.ari import AriClient, AriReplaced, Channel
from ari_app.ari.events import ChannelDestroyed, ChannelStateChange, StasisStart
from ari_app.ari.testing import Proxy
from ari_app.config import Config
from ari_app.runtime.stack import Stack, StackOptions

AGENTS = """
[test-agents]
exten => answer,1,Answer()
 same => n,Wait(300)
"""

PATIENCE = 15.0


@pytest.fixture(scope="module")
def stack_options() -> StackOptions:
    return StackOptions(
        app=False,
        bridge=False,
        simulator=False,
        extra_dialplan=AGENTS,
        agent_endpoint="Local/answer@test-agents",
    )


@pytest.fixture
async def proxy(stack: Stack) -> AsyncIterator[Proxy]:
    async with Proxy(stack.asterisk.ari_url).running() as proxy:
        yield proxy


@pytest.fixture
async def application(stack: Stack, proxy: Proxy) -> AsyncIterator[asyncio.Task[None]]:
    """The application in this process, with a connection to Asterisk that we can cut."""
    config = Config.load(stack.config)
    config = config.model_copy(update={"ari": config.ari.model_copy(update={"url": proxy.url})})
    ready = asyncio.Event()
    task = asyncio.create_task(Application(config).run(ready.set))
    async with asyncio.timeout(PATIENCE):
        await ready.wait()
    yield task
    proxy.recover()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, AriReplaced):
        await task


@pytest.fixture
async def tester(stack: Stack) -> AsyncIterator[AriClient]:
    asterisk = stack.asterisk
    async with AriClient(
        asterisk.ari_url, "asterisk-whatsapp", asterisk.ari_password, "tester", subscribe_all=True
    ) as client:
        yield client


async def called(stack: Stack, tester: AriClient) -> Channel:
    """A caller whose call is in the application, or on the way there."""
    caller = await tester.channels.create(endpoint=f"Local/{stack.number.display_number}@whatsapp-in/n")
    await caller.wait_for(StasisStart, timeout=PATIENCE)
    await caller.dial(timeout=60)
    return caller


async def record(stack: Stack, caller: Channel, state: str) -> asyncpg.Record:
    database = await asyncpg.connect(stack.dsn)
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                row = await database.fetchrow("SELECT * FROM pbx.calls WHERE linkedid = $1", caller.id)
                if row is not None and row["state"] == state:
                    return row
                await asyncio.sleep(0.05)
    finally:
        await database.close()


async def nothing_is_left(tester: AriClient) -> None:
    async with asyncio.timeout(PATIENCE):
        while await tester.channels.list() or await tester.bridges.list():
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("application")
async def test_a_call_goes_on_over_a_cut_connection(stack: Stack, proxy: Proxy, tester: AriClient) -> None:
    with await called(stack, tester) as caller:
        await record(stack, caller, "connected")
        proxy.cut()
        await asyncio.sleep(1)
        legs = [c for c in await tester.channels.list() if c.data and not c.data.name.startswith("Snoop/")]
        assert len(legs) == 4
        await caller.hangup(reason_code=16)
        call = await record(stack, caller, "ended")
    assert (call["status"], call["ended_by"]) == ("Answered", "user")
    await nothing_is_left(tester)


@pytest.mark.usefixtures("application")
async def test_a_hangup_that_nobody_told_us_of_ends_the_call_after_the_reconnect(
    stack: Stack, proxy: Proxy, tester: AriClient
) -> None:
    with await called(stack, tester) as caller:
        await record(stack, caller, "connected")
        proxy.fall_silent()
        await caller.hangup(reason_code=16)
        await caller.wait_for(ChannelDestroyed, timeout=PATIENCE)
        proxy.cut()
        proxy.recover()
        call = await record(stack, caller, "ended")
    assert (call["status"], call["ended_by"]) == ("Answered", "user")
    await nothing_is_left(tester)


@pytest.mark.usefixtures("application")
async def test_a_caller_whose_arrival_got_lost_is_served_after_the_reconnect(
    stack: Stack, proxy: Proxy, tester: AriClient
) -> None:
    proxy.fall_silent()
    with await called(stack, tester) as caller, tester.events(ChannelStateChange):
        await asyncio.sleep(0.5)
        proxy.cut()
        proxy.recover()
        call = await record(stack, caller, "connected")
        assert call["channel_type"] == "WhatsApp Call"
        await caller.hangup(reason_code=16)
        await record(stack, caller, "ended")
    await nothing_is_left(tester)


async def test_an_application_that_is_replaced_by_another_ends_and_says_so(
    stack: Stack, application: asyncio.Task[None], tester: AriClient, caplog: pytest.LogCaptureFixture
) -> None:
    asterisk = stack.asterisk
    login = (asterisk.ari_url, "asterisk-whatsapp", asterisk.ari_password, "asterisk-whatsapp")
    async with AriClient(*login):
        done, _ = await asyncio.wait([application], timeout=PATIENCE)
    assert application in done
    assert "took over" in str(application.exception())
    assert "does a second process run" in caplog.text
    await nothing_is_left(tester)
