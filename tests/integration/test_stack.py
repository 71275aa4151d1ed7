"""The embedded stack as other tests and `asterisk-whatsapp up` use it."""

import asyncio
import datetime as dt
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from ari_app.ari import AriClient, channel_id
from ari_app.ari.events import StasisStart
from ari_app.runtime.asterisk import ARI_USER
from ari_app.runtime.debian import Closure
from ari_app.runtime.errors import ProcessError
from ari_app.runtime.stack import Stack, StackOptions
from ari_app.runtime.watch import LogWatch

ANSWER_AND_HANG_UP = """
[whatsapp-fallback]
exten => _X.,1,Answer()
 same => n,Hangup()
"""
ONLY_PBX = StackOptions(app=False, bridge=False, simulator=False)
CALL_LIMIT = 20.0


@pytest.fixture(scope="module")
def stack_options() -> StackOptions:
    return ONLY_PBX


async def call_the_business(stack: Stack, call_id: str = "wacid.test") -> str:
    """Bring a WhatsApp call into the dialplan as the bridge does, wait until it is over; the caller's linkedid."""
    async with AriClient(stack.asterisk.ari_url, ARI_USER, stack.asterisk.ari_password, "test") as client:
        call = await client.channels.create(
            endpoint=f"Local/{stack.number.display_number}@whatsapp-in/n",
            channel_id=channel_id(),
            other_channel_id=channel_id(),
            formats=["opus"],
            variables={
                "__WHATSAPP_CALL_ID": call_id,
                "__WHATSAPP_FROM": "16315553602",
                "__WHATSAPP_NAME": 'Zoë "Q" O\'Neil, (x) $[1+1] ${EXTEN}',
            },
        )
        with call:
            await call.wait_for(StasisStart, timeout=5)  # before, dial is refused
            await call.dial(timeout=30)
            async with asyncio.timeout(CALL_LIMIT):
                async for _ in call.events:  # ends when the channel is gone
                    pass
            return call.id


async def call_detail_record(stack: Stack, linkedid: str) -> asyncpg.Record:
    """The record of the `;2` half: Asterisk writes it when the channel is gone, a moment after ARI has said so."""
    connection = await asyncpg.connect(stack.dsn)
    try:
        async with asyncio.timeout(5):
            while True:
                row = await connection.fetchrow(
                    "SELECT * FROM cdr.cdr WHERE linkedid = $1 AND whatsapp_call_id IS NOT NULL", linkedid
                )
                if row is not None:
                    return row
                await asyncio.sleep(0.05)
    finally:
        await connection.close()


async def test_asterisk_starts_without_a_warning(stack: Stack) -> None:
    assert list(stack.asterisk.complaints()) == []
    assert "Asterisk 22." in await stack.asterisk.cli("core show version")


async def test_a_refused_cli_command_is_an_error(stack: Stack) -> None:
    await stack.asterisk.stop()
    with pytest.raises(ProcessError, match="core show version"):
        await stack.asterisk.cli("core show version")
    await stack.asterisk.start()
    assert "Asterisk 22." in await stack.asterisk.cli("core show version")


def open_to_others(pid: int) -> set[str]:
    """TCP listeners and UDP sockets of a process that are not on 127.0.0.1, from its descriptors and /proc/<pid>/net.

    Not counted: UDP on an ephemeral port, which is how a DNS client waits for its answer. PJSIP opens two of these
    when it loads (res_pjsip/config_system.c) and no setting prevents it.
    """
    sockets = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    found = set()
    for protocol in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{protocol}").read_text().splitlines()[1:]:
            fields = line.split()
            address, port = fields[1].split(":")
            if f"socket:[{fields[9]}]" not in sockets or address == "0100007F":  # 127.0.0.1 as the kernel writes it
                continue
            if fields[3] == "0A" if protocol.startswith("tcp") else int(port, 16) < 32768:
                found.add(f"{protocol} {fields[1]}")
    return found


async def test_everything_listens_on_loopback_only(stack: Stack) -> None:
    for name, process in stack.processes.items():
        assert open_to_others(process.pid) == set(), name


async def test_up_describes_itself_in_one_json_line(stack: Stack) -> None:
    line = json.dumps(stack.describe())
    assert "\n" not in line
    told = json.loads(line)
    assert told["ari"]["url"] == stack.asterisk.ari_url
    assert [account["username"] for account in told["sip"]["accounts"]] == ["1001", "1002", "1003", "1004"]
    assert set(told["pids"]) == {"postgres", "asterisk"}
    assert told["console"] is None


async def test_without_the_app_a_caller_hears_that_nobody_is_there_and_the_record_says_so(stack: Stack) -> None:
    with LogWatch(stack.asterisk.log) as log:
        linkedid = await call_the_business(stack)
        await log.line("Playing 'vm-nobodyavail")
        await log.line("Playing 'please-try-call-later")
    record = await call_detail_record(stack, linkedid)
    assert record["dst"] == stack.number.display_number
    assert record["src"] == "16315553602"
    assert record["clid"] == '"Zoë \\"Q\\" O\'Neil, (x) $[1+1] ${EXTEN}" <16315553602>'
    assert (record["channel_type"], record["whatsapp_call_id"]) == ("WhatsApp Call", "wacid.test")
    assert record["disposition"] == "ANSWERED"


@pytest.fixture
async def own_dialplan(closure: Closure) -> AsyncIterator[Stack]:
    dialplan = """
[whatsapp-fallback]
exten => _X.,1,Verbose(1,the administrator's fallback has ${EXTEN})
 same => n,Hangup(21)
"""
    async with Stack.start(
        StackOptions(app=False, bridge=False, simulator=False, extra_dialplan=dialplan), closure
    ) as it:
        yield it


async def test_an_administrators_fallback_is_used_where_there_is_one(own_dialplan: Stack) -> None:
    with LogWatch(own_dialplan.asterisk.log) as log:
        linkedid = await call_the_business(own_dialplan)
        await log.line(f"the administrator's fallback has {own_dialplan.number.display_number}")
    assert (await call_detail_record(own_dialplan, linkedid))["disposition"] != "ANSWERED"


async def test_whatsapp_in_may_be_plain_dialplan(closure: Closure) -> None:
    dialplan = """
[whatsapp-in]
exten => _X.,1,Answer()
 same => n,Set(CDR(whatsapp_call_id)=${WHATSAPP_CALL_ID})
 same => n,Hangup()
"""
    options = StackOptions(app=False, bridge=False, simulator=False, extra_dialplan=dialplan)
    async with Stack.start(options, closure) as stack:
        assert list(stack.asterisk.complaints()) == []
        linkedid = await call_the_business(stack)
        assert (await call_detail_record(stack, linkedid))["disposition"] == "ANSWERED"


async def test_times_in_the_record_are_right_whatever_the_time_zones_of_asterisk_and_the_database(
    closure: Closure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    options = StackOptions(app=False, bridge=False, simulator=False, extra_dialplan=ANSWER_AND_HANG_UP)
    async with Stack.start(options, closure) as stack:
        await stack.postgres.execute("ALTER DATABASE asterisk_whatsapp SET timezone TO 'America/New_York'")
        await stack.asterisk.stop()
        await stack.asterisk.start()
        before = dt.datetime.now(dt.UTC)
        linkedid = await call_the_business(stack)
        record = await call_detail_record(stack, linkedid)
        for column in ("calldate", "start", "answer", "end"):
            assert abs(record[column] - before) < dt.timedelta(seconds=CALL_LIMIT), column


async def test_two_whole_stacks_run_side_by_side(closure: Closure) -> None:
    async with Stack.start(StackOptions(), closure) as one, Stack.start(StackOptions(), closure) as other:
        for stack in (one, other):
            assert list(stack.processes) == ["postgres", "asterisk", "simulator", "bridge", "app"]
            assert "0 active calls" in await stack.asterisk.cli("core show channels")
        first, second = one.asterisk, other.asterisk
        assert len({first.http_port, first.sip_port, second.http_port, second.sip_port}) == 4
        assert one.dsn != other.dsn
    assert not one.folder.exists()


async def test_a_piece_may_be_stopped_and_started_again(closure: Closure) -> None:
    async with Stack.start(StackOptions(simulator=False), closure) as stack:
        for piece in (stack.app, stack.bridge):
            old = piece.pid
            await piece.stop()
            assert await piece.wait() == 0, "a clean end"
            await piece.start()
            assert piece.pid != old


async def test_a_start_that_is_called_off_leaves_nothing(closure: Closure) -> None:
    started: list[str] = []

    def call_off(step: str) -> None:
        started.append(step)
        if "Asterisk" in step:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()

    with pytest.raises(asyncio.CancelledError):
        async with Stack.start(ONLY_PBX, closure, call_off):
            pytest.fail("it came up")
    assert started[-1].startswith("Starting Asterisk")


async def test_a_piece_that_ends_is_noticed(closure: Closure) -> None:
    async with Stack.start(ONLY_PBX, closure) as stack:
        stack.asterisk.process.signal(signal.SIGKILL)
        async with asyncio.timeout(5):
            assert await stack.wait() is stack.asterisk.process
            await stack.asterisk.process.wait()
            assert await stack.wait() is stack.asterisk.process, "also when it ended a while ago"
        assert stack.asterisk.process.complaint().startswith("Asterisk ended with -9.")
