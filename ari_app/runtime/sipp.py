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
import textwrap
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from ari_app.runtime.baresip import free_port
from ari_app.runtime.debian import Closure
from ari_app.runtime.phones import PhoneError, PhoneTimeoutError, SipAccount
from ari_app.runtime.processes import Process
from ari_app.runtime.watch import LogWatch

REGISTER_LIMIT = 10.0
STOP_LIMIT = 2.0
REGISTERED_MS = 3_600_000

REPLY_HEADERS = """\
[last_Via:]
[last_From:]
[last_To:];tag=[call_number]
[last_Call-ID:]
"""
SDP = """\
v=0
o=- 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
"""


def refuse(code: int, reason: str, *, after_ms: int = 0) -> str:
    """Scenario: rings for a while, then refuses with that status, such as 603 Decline or 486 Busy Here."""
    return _scenario(
        _expect("INVITE"),
        _reply("180 Ringing"),
        f'<pause milliseconds="{after_ms}"/>' if after_ms else "",
        _reply(f"{code} {reason}", retransmit=True),
        _expect("ACK"),
    )


def never_answer() -> str:
    """Scenario: rings until the caller gives up (CANCEL, answered with 200 and 487)."""
    remember = '<ereg regexp="[0-9]+" search_in="hdr" header="CSeq:" assign_to="cseq"/>'
    terminated = _send(f"SIP/2.0 487 Request Terminated\n{REPLY_HEADERS}CSeq: [$cseq] INVITE\n", retransmit=True)
    return _scenario(
        _expect("INVITE", action=remember),
        _reply("180 Ringing"),
        _expect("CANCEL"),
        _reply("200 OK"),
        terminated,
        _expect("ACK"),
    )


def ignore() -> str:
    """Scenario: lets the INVITE go unanswered, as a phone that has lost its network does."""
    return _scenario(_expect("INVITE"), '<pause milliseconds="60000"/>')


def answer(*, after_ms: int = 0) -> str:
    """Scenario: answers with G.711 µ-law, sends no sound, and waits until the caller hangs up."""
    ok = f"SIP/2.0 200 OK\n{REPLY_HEADERS}[last_CSeq:]\nContact: <sip:[local_ip]:[local_port]>\n"
    return _scenario(
        _expect("INVITE"),
        _reply("180 Ringing"),
        f'<pause milliseconds="{after_ms}"/>' if after_ms else "",
        _send(ok, body=SDP, retransmit=True),
        _expect("ACK"),
        _expect("BYE"),
        _reply("200 OK"),
    )


def answer_and_hold(*, talk_ms: int, hold_ms: int) -> str:
    """Scenario: answers without sound, after a while puts the caller on hold, takes them back, waits for the end."""
    both_sides = "".join(
        f'<ereg regexp=".*" search_in="hdr" header="{header}:" assign_to="{header.lower()}"/>'
        for header in ("From", "To")
    )
    ok = f"SIP/2.0 200 OK\n{REPLY_HEADERS}[last_CSeq:]\nContact: <sip:[local_ip]:[local_port]>\n"
    held = SDP.replace("o=- 1 1 ", "o=- 1 2 ") + "a=sendonly\n"
    again = SDP.replace("o=- 1 1 ", "o=- 1 3 ") + "a=sendrecv\n"
    return _scenario(
        _expect("INVITE", action=both_sides, routes=True),
        _reply("180 Ringing"),
        _send(ok, body=SDP, retransmit=True),
        _expect("ACK"),
        f'<pause milliseconds="{talk_ms}"/>',
        *_reinvite(1, held, "held"),
        f'<pause milliseconds="{hold_ms}"/>',
        *_reinvite(2, again, "resumed"),
        _expect("BYE"),
        _reply("200 OK"),
    )


def call(account: SipAccount, number: str, *, talk_ms: int) -> str:
    """Scenario: calls the number as the account, stays connected for that long without sound, hangs up."""
    target = f"sip:{number}@[remote_ip]:[remote_port]"
    return _scenario(
        _request("INVITE", target, account, 1, body=SDP),
        '<recv response="100" optional="true"/>',
        '<recv response="401" auth="true"/>',
        _request("ACK", target, account, 1, tag=True, branch="[branch-3]"),
        _request("INVITE", target, account, 2, authenticated=True, body=SDP),
        '<recv response="100" optional="true"/>',
        '<recv response="180" optional="true"/>',
        '<recv response="183" optional="true"/>',
        '<recv response="200" rrs="true"><action><log message="answered"/></action></recv>',
        _request("ACK", "[next_url]", account, 2, tag=True),
        f'<pause milliseconds="{talk_ms}"/>',
        _request("BYE", "[next_url]", account, 3, tag=True),
        '<recv response="200"/>',
    )


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
        process = _sipp(closure, folder, account, _registration(account), "-oocsf", "calls.xml")
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


def _registration(account: SipAccount) -> str:
    target = "sip:[remote_ip]:[remote_port]"
    contact = f"Contact: <sip:{account.user}@[local_ip]:[local_port]>\nExpires: {REGISTERED_MS // 1000}\n"
    return _scenario(
        _request("REGISTER", target, account, 1, more=contact),
        '<recv response="401" auth="true"/>',
        _request("REGISTER", target, account, 2, more=contact, authenticated=True),
        '<recv response="200"><action><log message="registered"/></action></recv>',
        f'<pause milliseconds="{REGISTERED_MS}"/>',
    )


def _scenario(*steps: str) -> str:
    body = "\n".join(step for step in steps if step)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="phone">\n{body}\n</scenario>\n'


def _expect(request: str, *, action: str = "", routes: bool = False) -> str:
    remember = ' rrs="true"' if routes else ""
    return f'<recv request="{request}"{remember}><action>{action}<log message="{request}"/></action></recv>'


def _reinvite(sequence: int, body: str, what: str) -> tuple[str, ...]:
    """Change the session as the called side, whose requests have the INVITE's From and To the other way round."""

    def headers(method: str) -> str:
        return f"""\
{method} [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From:[$to];tag=[call_number]
To:[$from]
Call-ID: [call_id]
CSeq: {sequence} {method}
Contact: <sip:[local_ip]:[local_port]>
Max-Forwards: 70
"""

    return (
        _send(headers("INVITE"), body=body, retransmit=True),
        '<recv response="100" optional="true"/>',
        f'<recv response="200"><action><log message="{what}"/></action></recv>',
        _send(headers("ACK")),
    )


def _reply(status: str, *, retransmit: bool = False) -> str:
    contact = "Contact: <sip:[local_ip]:[local_port]>\n"
    return _send(f"SIP/2.0 {status}\n{REPLY_HEADERS}[last_CSeq:]\n{contact}", retransmit=retransmit)


def _request(
    method: str,
    target: str,
    account: SipAccount,
    sequence: int,
    *,
    more: str = "",
    tag: bool = False,
    authenticated: bool = False,
    body: str = "",
    branch: str = "[branch]",
) -> str:
    who = f"<sip:{account.user}@[remote_ip]:[remote_port]>"
    to = "[last_To:]" if tag else f"To: {who if method == 'REGISTER' else f'<{target}>'}"
    proof = f"[authentication username={account.user} password={account.password}]\n" if authenticated else ""
    contact = "" if method == "REGISTER" else "Contact: <sip:[local_ip]:[local_port]>\n"
    headers = f"""\
{method} {target} SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch}
From: {who};tag=[call_number]
{to}
Call-ID: [call_id]
CSeq: {sequence} {method}
Max-Forwards: 70
{contact}{more}{proof}"""
    return _send(headers, body=body, retransmit=method != "ACK")


def _send(headers: str, *, body: str = "", retransmit: bool = False) -> str:
    kind = "Content-Type: application/sdp\n" if body else ""
    attribute = ' retrans="500"' if retransmit else ""
    message = f"{headers}{kind}Content-Length: [len]\n\n{body}"
    return f"<send{attribute}><![CDATA[\n{textwrap.dedent(message)}\n]]></send>"


def _refusal(errors: Path) -> str:
    """The status that the scenario did not expect, such as "486 Busy Here"; empty if there was none."""
    text = errors.read_text(encoding="utf-8", errors="replace") if errors.exists() else ""
    match = re.search(r"received 'SIP/2\.0 (\d{3} [^\r\n]*)", text)
    return match[1] if match else ""


def _write(path: Path, scenario: str) -> None:
    path.touch(mode=0o600)  # it holds the password
    path.write_text(scenario, encoding="utf-8")
