"""Child processes that never outlive us: started, watched by the kernel's events, and stopped within a time limit."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ari_app.runtime.errors import ProcessError
from ari_app.runtime.watch import LogWatch, readable

LAUNCHER = Path(__file__).with_name("launch.py")

START_LIMIT = 30.0
"""Seconds a process may take until it is ready; a loaded machine needs several."""

STOP_LIMIT = 8.0
"""Seconds between SIGTERM and SIGKILL."""

SHOWN_LOG_LINES = 3


def bound_to_us(command: Sequence[str], *, death_signal: signal.Signals = signal.SIGKILL, user: str = "") -> list[str]:
    """`command`, so that the kernel ends it when the calling thread ends (see launch.py), run as `user` if given."""
    launcher = [sys.executable, "-I", "-S", str(LAUNCHER)]
    return [*launcher, str(os.getpid()), str(int(death_signal)), user, *command]


@dataclass(eq=False)
class Process:
    """One child process and its log: `start` waits until it is ready, `stop` until it is gone, and so on."""

    name: str
    command: Sequence[str]
    log: Path
    """Receives stdout and stderr; a restart appends."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to ours."""
    folder: Path | None = None
    user: str = ""
    """The account to run as; empty: ours."""
    notifies: bool = False
    """It says READY=1 to $NOTIFY_SOCKET (sd_notify(3)); otherwise it counts as ready once it runs."""
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    wanted: bool = field(default=False, init=False)
    """It was started, and nobody has stopped it: if it does not run, something is wrong."""
    _child: "subprocess.Popen[bytes] | None" = field(default=None, init=False, repr=False)

    @property
    def pid(self) -> int:
        if self._child is None:
            raise ProcessError(f"{self.name} is not running.")
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    async def start(self, *, timeout: float = START_LIMIT) -> None:
        """Start and wait until ready. Raises ProcessError if it ends first or takes longer than `timeout` s."""
        if self.running:
            raise ProcessError(f"{self.name} is running already.")
        with contextlib.ExitStack() as stack:
            notify = stack.enter_context(_NotifySocket()) if self.notifies else None
            environment = {**os.environ, **self.environment}
            environment.pop("NOTIFY_SOCKET", None)
            if notify is not None:
                environment["NOTIFY_SOCKET"] = notify.address
            self._child = self._spawn(environment)
            self.wanted = True
            if notify is None:
                return
            try:
                async with asyncio.timeout(timeout):
                    await self._ready(notify)
            except TimeoutError:
                await self.stop()
                raise ProcessError(self._complaint(f"was not ready within {timeout:.0f} s")) from None
            except BaseException:
                await self.stop()
                raise

    def _spawn(self, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            return subprocess.Popen(
                bound_to_us(self.command, death_signal=self.death_signal, user=self.user),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C reaches us alone; we stop the others in order
            )

    async def _ready(self, notify: "_NotifySocket") -> None:
        with self.pidfd() as pidfd:
            while await readable(notify.descriptor, pidfd) == notify.descriptor:
                if notify.says_ready():
                    return
        raise ProcessError(self._complaint(f"ended with {self._reap()} before it was ready"))

    async def expect(self, log: LogWatch, pattern: str, *, timeout: float = START_LIMIT) -> re.Match[str]:
        """Wait for a line of its log. Raises ProcessError if it ends first or `timeout` s pass."""
        if not self.running:
            match = log.passed(pattern)
        else:
            with self.pidfd() as pidfd:
                try:
                    match = await log.line_or_end(pattern, pidfd, timeout=timeout)
                except TimeoutError:
                    raise ProcessError(self._complaint(f"did not say {pattern!r} within {timeout:.0f} s")) from None
        if match is None:
            raise ProcessError(self.complaint())
        return match

    async def wait(self) -> int:
        """Wait until it ends; its exit status, negative for a signal."""
        if self.running:
            with self.pidfd() as pidfd:
                await readable(pidfd)
        return self._reap()

    async def stop(self, *, timeout: float = STOP_LIMIT) -> None:
        """End it: `stop_signal`, and SIGKILL after `timeout` s. Does nothing if it is not running."""
        self.wanted = False
        if not self.running:
            return
        self.signal(self.stop_signal)
        try:
            async with asyncio.timeout(timeout):
                await self.wait()
        except TimeoutError:
            pass
        finally:
            if self.running:
                self.kill()

    def kill(self) -> None:
        """End it at once (SIGKILL) and wait for the kernel to say so."""
        if self._child is not None and self.running:
            self._child.kill()
            self._child.wait(STOP_LIMIT)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; none is sent if it is gone."""
        if self._child is not None:
            self._child.send_signal(number)

    def complaint(self) -> str:
        """Why it ended: its name, exit status and last log lines in one line."""
        return self._complaint(f"ended with {self._reap()}")

    def _complaint(self, what: str) -> str:
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            lines = []
        shown = " | ".join(line.strip() for line in lines[-SHOWN_LOG_LINES:])
        return f"{self.name} {what}. Its log {self.log} says: {shown or 'nothing'}"

    def _reap(self) -> int:
        if self._child is None:
            raise ProcessError(f"{self.name} was never started.")
        return self._child.wait(STOP_LIMIT)

    @contextlib.contextmanager
    def pidfd(self) -> Iterator[int]:
        """A descriptor that becomes readable when it ends (pidfd_open(2))."""
        descriptor = os.pidfd_open(self.pid)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


async def first_to_end(processes: Sequence[Process]) -> Process:
    """Wait until one of the processes does not run, and return it; at once if that is so already."""
    for process in processes:
        if not process.running:
            return process
    with contextlib.ExitStack() as stack:
        of = {stack.enter_context(process.pidfd()): process for process in processes}
        return of[await readable(*of)]


class _NotifySocket:
    """The receiving end of sd_notify(3), under a name in Linux's abstract namespace: no file, no length limit."""

    def __enter__(self) -> "_NotifySocket":
        name = f"asterisk-whatsapp/{uuid.uuid4().hex}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(f"\0{name}")
        self.address = f"@{name}"
        self.descriptor = self._socket.fileno()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def says_ready(self) -> bool:
        return b"READY=1" in self._socket.recv(4096).split(b"\n")
