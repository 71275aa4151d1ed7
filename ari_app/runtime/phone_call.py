"""What a SIP phone of ours has to do with: its account, its calls, what it heard, and what went wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from ari_app.runtime.phones import Baresip

Codec = Literal["opus", "ulaw", "alaw", "g722"]
CODECS: dict[Codec, tuple[str, int]] = {
    "opus": ("opus/48000/2", 48_000),
    "ulaw": ("PCMU/8000/1", 8_000),
    "alaw": ("PCMA/8000/1", 8_000),
    "g722": ("G722/16000/1", 16_000),
}
"""Asterisk's name, baresip's name and rate in Hz."""


class PhoneError(Exception):
    """The phone did not do what was asked of it, or not in time; the message says which phone and why."""


class PhoneTimeoutError(PhoneError, TimeoutError):
    """What was waited for did not happen within the time limit; the message says what happened instead."""


@dataclass(frozen=True)
class SipAccount:
    """Where and as whom the phone registers."""

    user: str
    password: str = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 5060
    codec: Codec = "opus"
    """The only one that the phone has: the sound files must have its rate, or baresip would resample badly."""
    expires_s: int = 600

    def __post_init__(self) -> None:
        if set(self.user + self.password + self.host) & set(';<>" \t\r\n'):
            raise ValueError(f"the account of {self.user!r} has characters that baresip's account line cannot hold")

    def line(self, answer_after_ms: int | None) -> str:
        """baresip's account line."""
        options = [
            f"auth_user={self.user}",
            f"auth_pass={self.password}",
            f"regint={self.expires_s}",
            f"audio_codecs={CODECS[self.codec][0]}",
            "answermode=manual",
            *([] if answer_after_ms is None else [f"answerdelay={max(1, answer_after_ms)}"]),
        ]
        return f"<sip:{self.user}@{self.host}:{self.port};transport=udp>;{';'.join(options)}"


@dataclass(frozen=True)
class PhoneEvent:
    """One event of baresip, such as CALL_INCOMING; `at` is when we learned of it, in epoch seconds."""

    type: str
    at: float
    call_id: str
    text: str
    """What baresip adds: the reason of a CALL_CLOSED, the digit of a CALL_DTMF_START."""
    raw: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Recording:
    """What the phone heard: sample n was played at started_at + n / rate (epoch seconds), within 5 ms.

    The file is complete once the call is closed. It is written by the clock: what did not arrive is silence.
    """

    path: Path
    started_at: float


class PhoneCall:
    """One call of a phone."""

    def __init__(self, phone: Baresip, event: PhoneEvent) -> None:
        self.id = event.call_id
        self.direction: Literal["incoming", "outgoing"] = (
            "outgoing" if event.raw.get("direction") == "outgoing" else "incoming"
        )
        self.peer_uri = str(event.raw.get("peeruri", ""))
        self.peer_name = str(event.raw.get("peerdisplayname", ""))
        """The caller's display name as the phone shows it; empty if none was sent."""
        self.began_at = event.at
        self.taken = self.direction == "outgoing"
        """Answered by us, or made by us."""
        self.digits = ""
        """DTMF digits received so far."""
        self.recordings: list[Recording] = []
        """In order; more than one only if the loudspeaker was closed and opened again in between."""
        self.microphone_since: float | None = None
        """When the first sample of the microphone's file was sent (epoch seconds, within 5 ms)."""
        self.close_reason: str | None = None
        self._phone = phone

    @property
    def peer_number(self) -> str:
        """The user part of the peer's address."""
        return self.peer_uri.partition(":")[2].partition("@")[0] or self.peer_uri

    @property
    def recording(self) -> Recording:
        """What was heard; raises PhoneError while there is nothing."""
        if not self.recordings:
            raise PhoneError(f"{self._phone.name} has recorded nothing in call {self.id}")
        return self.recordings[-1]

    async def answer(self, *, timeout: float = 10.0) -> PhoneEvent:
        """Take the call and wait until it is established."""
        self.taken = True
        await self._phone.command("accept", self.id)
        return await self.established(timeout=timeout)

    async def established(self, *, timeout: float = 30.0) -> PhoneEvent:
        """Wait until both sides are connected."""
        return await self._phone.wait_for("CALL_ESTABLISHED", call=self, timeout=timeout)

    async def hang_up(self) -> None:
        """End the call; an incoming one that was not taken is refused with 486."""
        await self._phone.command("hangup", self.id)

    reject = hang_up

    async def closed(self, *, timeout: float = 30.0) -> PhoneEvent:
        """Wait until the call has ended, whoever ended it, and its recording is complete."""
        event = await self._phone.wait_for("CALL_CLOSED", call=self, timeout=timeout)
        await self._phone.command("listcalls")  # answered by the same thread, after it has closed the files
        return event

    async def press(self, digits: str) -> None:
        """Send DTMF by RFC 4733. baresip takes 240 ms for a digit; this returns at once."""
        await self._phone.command("callfind", self.id)
        await self._phone.command("sndcode", digits)

    async def heard_digits(self, digits: str, *, timeout: float = 10.0) -> None:
        """Wait until the digits received so far end with these.

        baresip 1.1.0 takes all but the first packet of an event for sound unless sound arrives in between.
        """
        await self._phone.until(lambda: self.digits.endswith(digits), f"digits {digits}", timeout)
