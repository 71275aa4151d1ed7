"""baresip as a child process, and its control connection: JSON in netstrings (baresip's module ctrl_tcp)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from ari_app.runtime.debian import Closure
from ari_app.runtime.errors import ProcessError
from ari_app.runtime.processes import Process
from ari_app.runtime.watch import LogWatch

logger = logging.getLogger(__name__)

START_LIMIT = 15.0
STOP_LIMIT = 3.0
"""Seconds for signing off at a registrar that may be gone already."""
START_ATTEMPTS = 5
"""The control port is chosen by us and opened by baresip; another program may take it in between."""
NETSTRING_DIGITS = 9

MODULES = ("opus", "g722", "g711", "aufile")
APPLICATIONS = ("menu", "ctrl_tcp")


class CommandError(Exception):
    """baresip refused a command; the message has its words."""


def configuration(modules: Path, control_port: int, playout_ms: int) -> str:
    """baresip's config file.

    No device rate is set, so that files have the codec's rate: baresip's resampler changes levels by -3.5 to +1.7 dB.
    `audio_path` is a folder without sounds, otherwise ring tones would be played into the recording.
    """
    lines = [
        "poll_method epoll",
        "sip_listen 127.0.0.1:0",
        "call_max_calls 8",
        "call_hold_other_calls no",
        "audio_path no-ring-tones",
        "audio_player aufile,heard.wav",
        "audio_source aufile,microphone.wav",
        "audio_alert aufile,alert.wav",
        "ausrc_channels 1",
        "auplay_channels 1",
        f"audio_buffer {playout_ms}-{playout_ms + 60}",
        "jitter_buffer_type fixed",
        "jitter_buffer_delay 1-10",
        "net_interface 127.0.0.1",
        "opus_bitrate 32000",
        "statmode_default off",
        f"ctrl_tcp_listen 127.0.0.1:{control_port}",
        f"module_path {modules}",
        *(f"module {name}.so" for name in MODULES),
        *(f"module_app {name}.so" for name in APPLICATIONS),
    ]
    return "\n".join(lines) + "\n"


class Control:
    """The control connection. `on_event` gets every event as the dictionary that baresip sends."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        on_event: Callable[[dict[str, Any]], None],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._on_event = on_event
        self._tokens = itertools.count(1)
        self._answers: dict[str, asyncio.Future[str]] = {}
        self._ended = False

    async def command(self, name: str, parameters: str = "", *, timeout: float = 5.0) -> str:
        """Run a command of baresip's menu and return what it prints. Raises CommandError, TimeoutError."""
        if self._ended:
            raise CommandError(f"{name}: baresip has ended")
        token = str(next(self._tokens))
        message = {"command": name, "params": parameters, "token": token}
        if not parameters:
            del message["params"]
        body = json.dumps(message).encode()
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._answers[token] = answer
        try:
            self._writer.write(b"%d:%b," % (len(body), body))
            async with asyncio.timeout(timeout):
                await self._writer.drain()
                return await answer
        finally:
            del self._answers[token]

    async def read(self) -> None:
        """Take in answers and events until baresip closes the connection."""
        try:
            while True:
                length = await self._reader.readuntil(b":")
                if len(length) > NETSTRING_DIGITS + 1:
                    raise ProcessError(f"baresip sent a netstring that starts with {length[:20]!r}")
                body = await self._reader.readexactly(int(length[:-1]) + 1)
                self._take(json.loads(body[:-1].decode(errors="replace")))
        except (asyncio.IncompleteReadError, ConnectionError):
            logger.debug("baresip closed its control connection")
        finally:
            self._ended = True
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(CommandError("baresip ended before it answered"))

    def _take(self, message: dict[str, Any]) -> None:
        if message.get("event"):
            self._on_event(message)
            return
        answer = self._answers.get(str(message.get("token")))
        if answer is None or answer.done():
            return
        text = str(message.get("data", ""))
        if message.get("ok"):
            answer.set_result(text)
        else:
            answer.set_exception(CommandError(text.strip()))


@contextlib.asynccontextmanager
async def running(closure: Closure, folder: Path, *, playout_ms: int) -> AsyncIterator[tuple[Process, int]]:
    """baresip in that folder, without an account yet: its process and control port. Raises ProcessError."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    (folder / "contacts").touch()  # baresip writes a template of its own otherwise
    command = [*closure.command("usr/bin/baresip"), "-4", "-f", "."]
    process = Process(f"baresip {folder.name}", command, log=folder / "baresip.log", folder=folder)
    try:
        for attempt in range(START_ATTEMPTS):
            port = free_port(socket.SOCK_STREAM)
            text = configuration(closure.baresip_modules, port, playout_ms)
            (folder / "config").write_text(text, encoding="utf-8")
            if await _started(process):
                break
            logger.info("%s: control port %d was taken, attempt %d", process.name, port, attempt + 1)
            await process.stop(timeout=STOP_LIMIT)
        else:
            raise ProcessError(f"{process.name} found no free control port in {START_ATTEMPTS} attempts")
        yield process, port
    finally:
        await process.stop(timeout=STOP_LIMIT)


async def _started(process: Process) -> bool:
    """Start and wait until ready; False if the control port was taken. Raises ProcessError."""
    with LogWatch(process.log) as log:
        await process.start()
        pattern = r"(baresip is ready)|(failed to listen on TCP)"
        line = asyncio.create_task(log.line(pattern, timeout=START_LIMIT))
        ended = asyncio.create_task(process.wait())
        try:
            await asyncio.wait({line, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not line.done():
                raise ProcessError(process.complaint())
            return line.result()[1] is not None
        except TimeoutError:
            raise ProcessError(f"{process.name} was not ready within {START_LIMIT:.0f} s") from None
        finally:
            for task in (line, ended):
                task.cancel()
            await asyncio.wait({line, ended})


def free_port(kind: socket.SocketKind) -> int:
    """A port that was free on loopback a moment ago, from the kernel's ephemeral range."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
