"""SIPp scenarios: what a SIP user agent does in a call, message by message. No sound is sent in any of them."""

from __future__ import annotations

import textwrap

from ari_app.runtime.phone_call import SipAccount

REGISTERED_S = 3600

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
    """Scenario: rings until the caller gives up (CANCEL, answered with 200 and 487); the cause that the CANCEL gives
    (RFC 3326) is in the log as `Reason cause=…`.
    """
    why = '<ereg regexp="cause=[0-9]+" search_in="hdr" header="Reason:" assign_to="why"/><log message="Reason [$why]"/>'
    remember = '<ereg regexp="[0-9]+" search_in="hdr" header="CSeq:" assign_to="cseq"/>'
    terminated = _send(f"SIP/2.0 487 Request Terminated\n{REPLY_HEADERS}CSeq: [$cseq] INVITE\n", retransmit=True)
    return _scenario(
        _expect("INVITE", action=remember),
        _reply("180 Ringing"),
        _expect("CANCEL", action=why),
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


def registration(account: SipAccount) -> str:
    """Scenario: registers and stays for an hour, so that calls may come."""
    target = "sip:[remote_ip]:[remote_port]"
    contact = f"Contact: <sip:{account.user}@[local_ip]:[local_port]>\nExpires: {REGISTERED_S}\n"
    return _scenario(
        _request("REGISTER", target, account, 1, more=contact),
        '<recv response="401" auth="true"/>',
        _request("REGISTER", target, account, 2, more=contact, authenticated=True),
        '<recv response="200"><action><log message="registered"/></action></recv>',
        f'<pause milliseconds="{1000 * REGISTERED_S}"/>',
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
