import asyncio
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ari_app.runtime.errors import ProcessError
from ari_app.runtime.processes import Process, first_to_end
from ari_app.runtime.watch import LogWatch

SAY_READY = """
import os, socket
address = os.environ["NOTIFY_SOCKET"].replace("@", "\\0")
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    notify.sendto(b"STATUS=soon", address)
    notify.sendto(b"READY=1", address)
"""
SLEEP = "import time; time.sleep(60)"
IGNORE_SIGTERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"


def python(tmp_path: Path, code: str, *, notifies: bool = False) -> Process:
    return Process("a program", [sys.executable, "-c", code], tmp_path / "program.log", notifies=notifies)


async def test_a_process_that_notifies_is_started_when_it_says_so(tmp_path: Path) -> None:
    process = python(tmp_path, SAY_READY + SLEEP, notifies=True)
    await process.start()
    assert process.running
    await process.stop()
    assert await process.wait() == -signal.SIGTERM


async def test_a_process_that_ends_before_it_is_ready_is_reported_with_its_last_words(tmp_path: Path) -> None:
    process = python(tmp_path, "import sys; sys.exit('the port is taken')", notifies=True)
    with pytest.raises(ProcessError, match=r"a program ended with 1 before it was ready.*the port is taken"):
        await process.start()


async def test_a_process_that_never_gets_ready_is_ended_and_reported(tmp_path: Path) -> None:
    process = python(tmp_path, SLEEP, notifies=True)
    with pytest.raises(ProcessError, match="was not ready within 1 s"):
        await process.start(timeout=1)
    assert not process.running


async def test_a_missing_program_is_reported_by_name(tmp_path: Path) -> None:
    process = Process("a program", ["/does/not/exist"], tmp_path / "log", notifies=True)
    with pytest.raises(ProcessError, match="/does/not/exist"):
        await process.start()


async def test_cancelling_a_start_leaves_no_process(tmp_path: Path) -> None:
    process = python(tmp_path, SLEEP, notifies=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await process.start()
    assert not process.running


async def test_a_process_deaf_to_sigterm_is_killed_after_the_limit(tmp_path: Path) -> None:
    process = python(tmp_path, IGNORE_SIGTERM + SAY_READY + SLEEP, notifies=True)
    await process.start()
    await process.stop(timeout=0.2)
    assert await process.wait() == -signal.SIGKILL


async def test_a_stopped_process_may_be_started_again_and_its_log_goes_on(tmp_path: Path) -> None:
    process = python(tmp_path, "print('hello')")
    for _ in range(2):
        await process.start()
        assert await process.wait() == 0
    assert process.log.read_text().splitlines() == ["hello", "hello"]


async def test_the_first_process_to_end_is_found(tmp_path: Path) -> None:
    lasting, brief = python(tmp_path, SLEEP), python(tmp_path, "import sys; sys.exit(3)")
    await lasting.start()
    await brief.start()
    async with asyncio.timeout(10):
        assert await first_to_end([lasting, brief]) is brief
    assert brief.complaint().startswith("a program ended with 3.")
    await lasting.stop()


async def test_a_process_that_ended_before_anybody_waited_is_found_too(tmp_path: Path) -> None:
    brief = python(tmp_path, "print('done')")
    with LogWatch(brief.log) as log:
        await brief.start()
        await brief.wait()
        assert brief.wanted
        assert await first_to_end([brief]) is brief
        assert await brief.expect(log, "done")
        with pytest.raises(ProcessError, match="ended with 0"):
            await brief.expect(log, "ready")
    await brief.stop()
    assert not brief.wanted


async def test_a_line_of_the_log_is_awaited(tmp_path: Path) -> None:
    process = python(tmp_path, f"print('listening on port 1234', flush=True); {SLEEP}")
    process.log.write_text("listening on port 99\n")
    with LogWatch(process.log) as log:
        await process.start()
        assert (await process.expect(log, r"port (\d+)"))[1] == "1234"
    await process.stop()


async def test_waiting_for_a_line_ends_with_the_process(tmp_path: Path) -> None:
    process = python(tmp_path, "print('nothing of interest')")
    with LogWatch(process.log) as log:
        await process.start()
        with pytest.raises(ProcessError, match="nothing of interest"):
            await process.expect(log, "ready")


async def test_a_line_written_in_pieces_is_seen_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with LogWatch(path) as log, path.open("a") as writer:
        line = asyncio.ensure_future(log.line(r"^one two$"))
        for piece in ("one ", "two", "\n"):
            writer.write(piece)
            writer.flush()
            await asyncio.sleep(0)
        assert await line


async def test_a_line_that_does_not_come_is_a_timeout(tmp_path: Path) -> None:
    with LogWatch(tmp_path / "log") as log, pytest.raises(TimeoutError):
        await log.line("never", timeout=0.05)


def test_a_killed_parent_takes_its_processes_along(tmp_path: Path) -> None:
    parent_code = f"""
import asyncio, sys
from pathlib import Path
from ari_app.runtime.processes import Process
async def main():
    child = Process("child", [sys.executable, "-c", {IGNORE_SIGTERM + SLEEP!r}], Path({str(tmp_path / "child.log")!r}))
    await child.start()
    print(child.pid, flush=True)
    await child.wait()
asyncio.run(main())
"""
    parent = subprocess.Popen([sys.executable, "-c", parent_code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent, parent.stdout:
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    try:
        ended, _, _ = select.select([child], [], [], 5)
    finally:
        os.close(child)
    assert ended


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_nothing_is_left_open_after_many_starts(tmp_path: Path) -> None:
    async def once() -> None:
        process = python(tmp_path, SAY_READY + SLEEP, notifies=True)
        await process.start()
        await process.stop()

    await once()
    before = open_files()
    for _ in range(3):
        await once()
    assert open_files() == before
