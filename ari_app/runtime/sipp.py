"""SIPp phones: SIP user agents that follow a scenario to the letter, for what baresip cannot do.

    async with SippPhone.start(closure, folder, account, refuse(603, "Decline")) as phone:
        await phone.saw("INVITE")

A phone registers and then treats every call by the scenario that it was given. No sound is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from ari_app.runtime.baresip import free_port
from ari_app.runtime.debian import Closure
from ari_app.runtime.phones import PhoneError, PhoneTimeoutError, SipAccount
from ari_app.runtime.processes import Process
from ari_app.runtime.sipp_scenarios import (
    answer,
    answer_and_hold,
    call,
    ignore,
    never_answer,
    refuse,
    registration,
)
from ari_app.runtime.watch import LogWatch

__all__ = ["SippPhone", "answer", "answer_and_hold", "call", "ignore", "never_answer", "place_call", "refuse"]

REGISTER_LIMIT = 10.0
STOP_LIMIT = 2.0


@dataclass
class SippPhone:
    """A registered phone that follows a scenario in every call."""

    account: SipAccount
    process: Process
    _log: LogWatch

    @classmethod
    @contextlib.asynccontextmanager
    async def start(
        cls, closure: Closure, folder: Path, account: SipAccount, scenario: str
    ) -> AsyncIterator[SippPhone]:
        """Register and wait for calls; `folder` gets the scenarios and logs. Raises PhoneError, ProcessError.

        The registration is not taken back at the end: the phone is gone, as if it had lost its power.
        """
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        _write(folder / "calls.xml", scenario)
        process = _sipp(closure, folder, account, registration(account), "-oocsf", "calls.xml")
        with LogWatch(folder / "events.log") as log:
            await process.start()
            try:
                phone = cls(account, process, log)
                await phone.saw("registered", timeout=REGISTER_LIMIT)
                yield phone
            finally:
                await process.stop(timeout=STOP_LIMIT)

    async def saw(self, what: str, *, timeout: float = 10.0) -> None:
        """Wait for the next request of that name (INVITE, CANCEL, BYE, ACK), or "held" and "resumed", not seen yet."""
        line = asyncio.create_task(self._log.line(rf"^{what}$", timeout=timeout))
        ended = asyncio.create_task(self.process.wait())
        try:
            await asyncio.wait({line, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not line.done():
                raise PhoneError(self.process.complaint())
            line.result()
        except TimeoutError:
            name = f"SIPp phone {self.account.user}"
            raise PhoneTimeoutError(f"{name}: no {what} within {timeout:g} s, see {self.process.log}") from None
        finally:
            for task in (line, ended):
                task.cancel()
            await asyncio.wait({line, ended})


async def place_call(
    closure: Closure, folder: Path, account: SipAccount, number: str, *, talk_ms: int = 1000, timeout: float = 60.0
) -> None:
    """Make one call without sound as that account and wait until it is over. Raises PhoneError if it failed."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    process = _sipp(closure, folder, account, call(account, number, talk_ms=talk_ms), "-m", "1")
    await process.start()
    try:
        async with asyncio.timeout(timeout):
            status = await process.wait()
    except TimeoutError:
        raise PhoneTimeoutError(f"the call of {account.user} to {number} was not over in {timeout:g} s") from None
    finally:
        await process.stop(timeout=STOP_LIMIT)
    if status != 0:
        refusal = await asyncio.to_thread(_refusal, folder / "errors.log")
        raise PhoneError(f"the call of {account.user} to {number} failed: {refusal or process.complaint()}")


def _sipp(closure: Closure, folder: Path, account: SipAccount, scenario: str, *options: str) -> Process:
    _write(folder / "main.xml", scenario)
    limits = ["-m", "1"] if "-m" not in options else []
    command = [
        *closure.command("usr/bin/sipp"),
        f"{account.host}:{account.port}",
        *("-sf", "main.xml"),
        *("-i", "127.0.0.1", "-p", str(free_port(socket.SOCK_DGRAM))),
        *("-s", account.user, "-nostdin", "-max_socket", "100"),
        *("-trace_logs", "-log_file", "events.log", "-trace_err", "-error_file", "errors.log"),
        *limits,
        *options,
    ]
    return Process(f"sipp {account.user}", command, log=folder / "sipp.log", folder=folder)


def _refusal(errors: Path) -> str:
    """The status that the scenario did not expect, such as "486 Busy Here"; empty if there was none."""
    text = errors.read_text(encoding="utf-8", errors="replace") if errors.exists() else ""
    match = re.search(r"received 'SIP/2\.0 (\d{3} [^\r\n]*)", text)
    return match[1] if match else ""


def _write(path: Path, scenario: str) -> None:
    path.touch(mode=0o600)  # it holds the password
    path.write_text(scenario, encoding="utf-8")
