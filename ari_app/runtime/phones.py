"""SIP phones for the demo and the tests: baresip, a real user agent; microphone and loudspeaker are files.

    async with Baresip.start(closure, folder, SipAccount("1001", password), microphone=speech) as phone:
        call = await phone.ringing()
        await call.answer()
        await call.closed()
        heard = read_wav(call.recording.path)

baresip 1.1.0 can refuse a call in one way only, 486 (and 480 when on do-not-disturb), and it crashes on some holds,
since it opens the loudspeaker's file twice at once: for 603, 5xx, no answer and hold use `ari_app.runtime.sipp`.
It ends a call when the microphone's file ends: files are `talk_limit_s` long.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

from ari_app.media.wav import Sound, pcm16, wav_bytes
from ari_app.runtime.baresip import Control, running
from ari_app.runtime.debian import Closure
from ari_app.runtime.phone_call import (
    CODECS,
    PhoneCall,
    PhoneError,
    PhoneEvent,
    PhoneTimeoutError,
    Recording,
    SipAccount,
)
from ari_app.runtime.processes import Process
from ari_app.runtime.watch import LogWatch

__all__ = ["Baresip", "PhoneCall", "PhoneError", "PhoneEvent", "PhoneTimeoutError", "Recording", "SipAccount"]

logger = logging.getLogger(__name__)

PLAYOUT_MS = 60
"""Sound kept in hand before it is played: the phone's share of every delay, and its tolerance of jitter."""
REGISTER_LIMIT = 10.0
KEPT_EVENTS = 500
LOG_PATIENCE_S = 3600.0

LOUDSPEAKER_OPENED = re.compile(r"aufile: writing speaker audio to heard\.wav")
MICROPHONE_OPENED = re.compile(r"aufile: loaded \d+ bytes")


class Baresip:
    """A registered SIP phone, made by `start`. All waits are limited (s) and raise PhoneTimeoutError."""

    def __init__(self, account: SipAccount, folder: Path, process: Process, talk_limit_s: float) -> None:
        self.account = account
        self.name = f"phone {account.user}"
        self.calls: list[PhoneCall] = []
        """All calls since the start, oldest first."""
        self._folder = folder
        self._process = process
        self._talk_limit_s = talk_limit_s
        self._control: Control | None = None
        self._untaken: deque[PhoneEvent] = deque(maxlen=KEPT_EVENTS)
        self._seen: deque[str] = deque(maxlen=20)
        self._news = asyncio.Event()
        self._microphones = 0
        self._recordings = 0
        self._microphone_opened_at = 0.0
        self._failure: str | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def start(
        cls,
        closure: Closure,
        folder: Path,
        account: SipAccount,
        *,
        microphone: Sound | None = None,
        answer_after_ms: int | None = None,
        talk_limit_s: float = 180.0,
        playout_ms: int = PLAYOUT_MS,
    ) -> AsyncIterator[Baresip]:
        """A phone in a folder of its own, registered when it is handed out. Raises PhoneError, ProcessError.

        The microphone's sound is repeated from the beginning of each call; None is silence.
        With `answer_after_ms` the phone takes calls by itself.
        """
        async with running(closure, folder, playout_ms=playout_ms) as (process, port):
            phone = cls(account, folder, process, talk_limit_s)
            await phone._write_microphone(folder / "microphone.wav", microphone, repeat=True)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            control = phone._control = Control(reader, writer, phone._take)
            with LogWatch(process.log) as log:
                tasks = [
                    asyncio.create_task(phone._guard(control.read()), name=f"{phone.name} control"),
                    asyncio.create_task(phone._guard(phone._follow(log)), name=f"{phone.name} log"),
                ]
                try:
                    await phone._register(answer_after_ms)
                    yield phone
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.wait(tasks)
                    writer.close()
                    with contextlib.suppress(ConnectionError):
                        await writer.wait_closed()

    @property
    def pid(self) -> int:
        """baresip's process id."""
        return self._process.pid

    async def ringing(self, *, timeout: float = 15.0) -> PhoneCall:
        """Wait for an incoming call."""
        event = await self.wait_for("CALL_INCOMING", timeout=timeout)
        return self._call(event)

    async def dial(self, number: str) -> PhoneCall:
        """Call a number at the registrar, or a SIP address; returns at once, see `PhoneCall.established`."""
        answer = await self.command("dial", number)
        match = re.search(r"call id: (\S+)", answer)
        if match is None:
            raise PhoneError(f"{self.name} did not dial {number}: {answer.strip()}")
        raw = {"direction": "outgoing", "id": match[1], "peeruri": number}
        return self._call(PhoneEvent("DIAL", time.time(), match[1], "", raw))

    async def say(self, sound: Sound | None, *, repeat: bool = False) -> float:
        """Change the microphone's sound, in running calls at once (None: silence); returns when it began, epoch s."""
        self._microphones += 1
        file = self._folder / f"microphone-{self._microphones}.wav"
        await self._write_microphone(file, sound, repeat)
        before = self._microphone_opened_at
        await self.command("ausrc", f"aufile,{file.name}")
        if not any(call.close_reason is None for call in self.calls):
            return time.time()
        await self.until(lambda: self._microphone_opened_at > before, "the new microphone file", 5.0)
        return self._microphone_opened_at

    async def do_not_disturb(self, on: bool) -> None:
        """Refuse every new call with 480 without ringing."""
        await self.command("dnd", "true" if on else "false")

    async def command(self, name: str, parameters: str = "") -> str:
        """A command of baresip's menu. Raises CommandError with baresip's words."""
        if self._control is None:
            raise PhoneError(f"{self.name} is not running")
        return await self._control.command(name, parameters)

    async def wait_for(self, kind: str, *, call: PhoneCall | None = None, timeout: float = 10.0) -> PhoneEvent:
        """The oldest event of that type, and of that call if given, that nobody has waited for yet."""
        found: list[PhoneEvent] = []

        def look() -> bool:
            for event in self._untaken:
                if event.type == kind and (call is None or event.call_id == call.id):
                    self._untaken.remove(event)
                    found.append(event)
                    return True
            return False

        await self.until(look, kind, timeout)
        return found[0]

    async def until(self, condition: Callable[[], bool], what: str, timeout: float) -> None:
        """Wait until the condition holds; it is looked at after every event."""
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    if self._failure is not None:
                        raise PhoneError(f"{self.name} failed while waiting for {what}: {self._failure}")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            seen = ", ".join(self._seen) or "nothing"
            message = f"{self.name}: no {what} within {timeout:g} s; it saw {seen}. Its log: {self._process.log}"
            raise PhoneTimeoutError(message) from None

    async def _register(self, answer_after_ms: int | None) -> None:
        await self.command("uanew", self.account.line(answer_after_ms))
        outcomes = {"REGISTER_OK", "REGISTER_FAIL"}
        await self.until(lambda: bool(outcomes & set(self._seen)), "answer to REGISTER", REGISTER_LIMIT)
        if "REGISTER_OK" not in self._seen:
            reason = next(event.text for event in self._untaken if event.type == "REGISTER_FAIL")
            raise PhoneError(f"{self.name} cannot register at {self.account.host}:{self.account.port}: {reason}")

    async def _write_microphone(self, file: Path, sound: Sound | None, repeat: bool) -> None:
        rate = CODECS[self.account.codec][1]
        size = 2 * round(self._talk_limit_s * rate)

        def write() -> None:
            once = b"" if sound is None else pcm16(sound.resampled(rate))
            filled = once * (size // len(once) + 1) if repeat and once else once.ljust(size, b"\0")
            file.write_bytes(wav_bytes(filled[:size], rate))

        await asyncio.to_thread(write)

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        """Run one of our tasks; when it ends by itself, everyone who waits learns why."""
        try:
            await work
            self._failure = self._failure or "baresip has ended"
        except asyncio.CancelledError:
            raise
        except Exception as error:
            logger.exception("%s failed", self.name)
            self._failure = str(error)
        finally:
            self._news.set()

    def _take(self, message: dict[str, Any]) -> None:
        """An event of baresip."""
        kind, text = str(message.get("type")), str(message.get("param", ""))
        event = PhoneEvent(kind, time.time(), str(message.get("id", "")), text, message)
        logger.debug("%s: %s %s", self.name, kind, text)
        if kind in ("CALL_INCOMING", "CALL_RINGING", "CALL_PROGRESS", "CALL_ESTABLISHED"):
            call = self._call(event)
            call.taken = call.taken or kind == "CALL_ESTABLISHED"
        elif kind == "CALL_DTMF_START" and event.call_id:
            self._call(event).digits += text
        elif kind == "CALL_CLOSED" and event.call_id:
            self._call(event).close_reason = text
        elif kind == "AUDIO_ERROR":
            logger.warning("%s: the microphone's file ended and so did the call (%s)", self.name, text)
        self._untaken.append(event)
        self._seen.append(kind)
        self._news.set()

    def _call(self, event: PhoneEvent) -> PhoneCall:
        for call in self.calls:
            if call.id == event.call_id:
                return call
        self.calls.append(PhoneCall(self, event))
        return self.calls[-1]

    async def _follow(self, log: LogWatch) -> None:
        """Note when baresip opens loudspeaker and microphone, and give every recording a name of its own."""
        pattern = f"{LOUDSPEAKER_OPENED.pattern}|{MICROPHONE_OPENED.pattern}"
        while True:
            try:
                match = await log.line(pattern, timeout=LOG_PATIENCE_S)
            except TimeoutError:
                continue
            now = time.time()
            call = self._starting_call()
            if LOUDSPEAKER_OPENED.search(match[0]):
                self._new_recording(call, now)
            else:
                self._microphone_opened_at = now
                if call is not None:
                    call.microphone_since = now
            self._news.set()

    def _new_recording(self, call: PhoneCall | None, now: float) -> None:
        path = self._folder / f"heard-{self._recordings + 1}.wav"
        try:
            (self._folder / "heard.wav").rename(path)
        except FileNotFoundError:
            # A re-INVITE may open it twice within a millisecond: what we renamed was the second one already.
            path = self._folder / f"heard-{self._recordings}.wav"
            if call is not None and call.recordings and call.recordings[-1].path == path:
                call.recordings[-1] = Recording(path, now)
            return
        self._recordings += 1
        if call is not None:
            call.recordings.append(Recording(path, now))

    def _starting_call(self) -> PhoneCall | None:
        """The call whose sound starts now: one that was taken and has none yet, else the newest."""
        running_calls = [call for call in self.calls if call.close_reason is None]
        fresh = [call for call in running_calls if call.taken and call.microphone_since is None]
        return next(reversed(fresh or running_calls), None)
