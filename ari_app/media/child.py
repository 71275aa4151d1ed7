"""A program that takes bytes and gives bytes, with limits of time and size."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import BinaryIO

#: A program that complains more than this is out of its mind, bytes.
COMPLAINT_BYTES = 1_000_000


class ChildError(Exception):
    """The program failed; the message has its own words, or says which limit was passed."""


async def output(command: Sequence[str], given: bytes | BinaryIO, *, timeout: float, limit: int) -> bytes:
    """What `command` writes when given bytes or an open file on its standard input.

    `timeout` in s, `limit` in bytes. No shell sees anything of it. Raises ChildError; OSError when it cannot be
    started.
    """
    child = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE if isinstance(given, bytes) else given,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(timeout), asyncio.TaskGroup() as group:
            if isinstance(given, bytes):
                group.create_task(_give(child, given))
            result = group.create_task(_read(child, child.stdout, limit))
            complaint = group.create_task(_read(child, child.stderr, COMPLAINT_BYTES))
            status = group.create_task(child.wait())
    except TimeoutError:
        raise ChildError(f"it takes longer than {timeout:g} s") from None
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
    if len(result.result()) > limit:
        raise ChildError(f"more than {limit} bytes come out of it")
    if status.result() != 0:
        words = complaint.result().decode(errors="replace").strip().splitlines()
        raise ChildError(words[-1][:300] if words else f"{command[0]} ended with status {status.result()}")
    return result.result()


async def _give(child: asyncio.subprocess.Process, given: bytes) -> None:
    assert child.stdin is not None
    with contextlib.suppress(ConnectionError):  # it has read enough; its status tells whether it is content
        child.stdin.write(given)
        await child.stdin.drain()
    child.stdin.close()


async def _read(child: asyncio.subprocess.Process, stream: asyncio.StreamReader | None, limit: int) -> bytes:
    """All that comes. A program that sends more than `limit` bytes is killed."""
    assert stream is not None
    found = bytearray()
    while part := await stream.read(65_536):
        found += part
        if len(found) > limit:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            break
    return bytes(found)
