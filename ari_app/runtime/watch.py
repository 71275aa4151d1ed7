"""Waiting for things outside Python by the kernel's events: descriptors, and lines that a program logs."""

import asyncio
import ctypes
import os
import re
from collections.abc import Iterator
from pathlib import Path

IN_MODIFY = 0x02  # linux/inotify.h


async def readable(*descriptors: int) -> int:
    """Wait until one of the descriptors has something to read (or ended) and return it; any event loop will do."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[int] = loop.create_future()

    def notice(descriptor: int) -> None:
        if not ready.done():
            ready.set_result(descriptor)

    for descriptor in descriptors:
        loop.add_reader(descriptor, notice, descriptor)
    try:
        return await ready
    finally:
        for descriptor in descriptors:
            loop.remove_reader(descriptor)


class LogWatch:
    """Reads a log that another process writes, from where it stood when the watch began.

    A context manager: enter it before causing what is to be logged, then await `line`.
    """

    def __init__(self, path: Path, *, from_start: bool = False) -> None:
        path.touch()
        self._path = path
        self._from_start = from_start
        self._inotify = -1

    def __enter__(self) -> "LogWatch":
        libc = ctypes.CDLL(None, use_errno=True)
        self._inotify = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._inotify < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        if libc.inotify_add_watch(self._inotify, os.fsencode(self._path), IN_MODIFY) < 0:
            error = OSError(ctypes.get_errno(), "inotify_add_watch", str(self._path))
            os.close(self._inotify)
            raise error
        self._file = self._path.open("rb")
        if not self._from_start:
            self._file.seek(0, os.SEEK_END)
        self._rest = b""
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        os.close(self._inotify)

    async def line(self, pattern: str, *, timeout: float = 10.0) -> re.Match[str]:
        """The first line not yet passed in which `pattern` is found. Raises TimeoutError after `timeout` s."""
        wanted = re.compile(pattern)
        async with asyncio.timeout(timeout):
            while (match := self._find(wanted)) is None:
                await readable(self._inotify)
                os.read(self._inotify, 4096)
        return match

    async def line_or_end(self, pattern: str, pidfd: int, *, timeout: float) -> re.Match[str] | None:
        """As `line`; None if the process behind `pidfd` ended without that line."""
        wanted = re.compile(pattern)
        async with asyncio.timeout(timeout):
            while (match := self._find(wanted)) is None:
                if await readable(self._inotify, pidfd) == pidfd:
                    return self._find(wanted)
                os.read(self._inotify, 4096)
        return match

    def passed(self, pattern: str) -> re.Match[str] | None:
        """As `line`, of what is there already."""
        return self._find(re.compile(pattern))

    def _find(self, wanted: re.Pattern[str]) -> re.Match[str] | None:
        for line in self._complete_lines():
            if match := wanted.search(line):
                return match
        return None

    def _complete_lines(self) -> Iterator[str]:
        while chunk := self._file.readline():
            self._rest += chunk
            if not chunk.endswith(b"\n"):
                return
            line, self._rest = self._rest, b""
            yield line.decode(errors="replace").rstrip("\r\n")
