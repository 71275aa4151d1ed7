"""What the demo proves after the call: each side's words in the other's recording, the timings, the record."""

from __future__ import annotations

import datetime
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from ari_app.media.measure import Match, find_speech, level_dbfs
from ari_app.media.wav import Sound, read_wav

MAX_LEVEL_CHANGE_DB = 3.0
MAX_DELAY_MS = 1000.0
"""Beyond that nobody would call it a conversation."""


@dataclass(frozen=True)
class Spoken:
    """Words, and when the first sample of them left the speaker's phone (epoch seconds)."""

    words: Sound
    at: float


@dataclass(frozen=True)
class Listened:
    """A recording, when its first sample was played (epoch seconds), and the listener's own buffer (ms)."""

    path: Path
    started_at: float
    playout_ms: int


@dataclass(frozen=True)
class AudioProof:
    """One direction: whether the words were heard, how late and how loud."""

    match: Match
    delay_ms: float
    """Mouth to ear: from the speaker's phone sending a sample to the listener's phone playing it, buffers included."""
    level_dbfs: float
    playout_ms: int

    @property
    def heard(self) -> bool:
        return self.match.found

    def complaints(self, who: str) -> list[str]:
        """What is not as it should be, in words."""
        if not self.heard:
            return [f"{who} were not found in the other side's recording (score {self.match.score:.2f})"]
        found = []
        if abs(self.match.gain_db) > MAX_LEVEL_CHANGE_DB:
            found.append(f"{who} arrived {self.match.gain_db:+.1f} dB changed")
        if not 0 < self.delay_ms < MAX_DELAY_MS:
            found.append(f"{who} arrived after {self.delay_ms:.0f} ms")
        return found

    def describe(self) -> str:
        """One line for people."""
        if not self.heard:
            return f"NOT heard (score {self.match.score:.2f})"
        return (
            f"heard, score {self.match.score:.2f}, level {self.level_dbfs:.1f} dBFS ({self.match.gain_db:+.1f} dB), "
            f"delay {self.delay_ms:.0f} ms (with the listener's jitter buffer, nominally {self.playout_ms} ms)"
        )


def prove(spoken: Spoken, listened: Listened) -> AudioProof:
    """Find the words in the recording.

    The delay is honest because both ends carry wall-clock times of this one machine: when the speaker's phone sent
    the words, and when the listener's phone began its recording, which runs by the clock from then on.
    """
    recording = read_wav(listened.path)
    match = find_speech(spoken.words, recording)
    heard_at = listened.started_at + match.lag_ms / 1000
    there = recording.part(match.lag_ms / 1000, match.lag_ms / 1000 + spoken.words.duration_s)
    return AudioProof(match, (heard_at - spoken.at) * 1000, level_dbfs(there), listened.playout_ms)


@dataclass(frozen=True)
class Timings:
    """Milliseconds between what Meta's side and the agent's phone saw."""

    webhook_to_pre_accept: int
    webhook_to_agent_ringing: int
    accept_to_first_audio: int

    @classmethod
    def of(cls, facts: dict[str, Any], agent_rang_at: float) -> Timings:
        """From the simulator's account of the call. Raises ValueError if a step is missing in it."""
        times = facts["times"]
        missing = [step for step in ("pre_accepted", "accepted", "first_audio") if step not in times]
        sent = [
            webhook["attempts"][0]["at"]
            for webhook in facts["webhooks"]
            if webhook["attempts"] and any(event["event"] == "connect" for event in webhook["events"])
        ]
        if missing or not sent:
            raise ValueError(f"the call never came to: {', '.join(missing) or 'its webhook'}")
        return cls(
            round((times["pre_accepted"] - sent[0]) * 1000),
            round((agent_rang_at - sent[0]) * 1000),
            round((times["first_audio"] - times["accepted"]) * 1000),
        )


@dataclass(frozen=True)
class Outcome:
    """All that the demo found out."""

    record: dict[str, Any]
    caller_heard_agent: AudioProof
    agent_heard_caller: AudioProof
    timings: Timings
    expected: dict[str, Any] = field(default_factory=dict)
    """Columns of the record and what they have to say."""

    def complaints(self) -> list[str]:
        """Why the demo failed; empty if it did not."""
        wrong = [
            f"the record's {column} is {self.record.get(column)!r}, not {value!r}"
            for column, value in self.expected.items()
            if self.record.get(column) != value
        ]
        return [
            *self.agent_heard_caller.complaints("the caller's words"),
            *self.caller_heard_agent.complaints("the agent's words"),
            *wrong,
        ]

    def as_json(self) -> dict[str, Any]:
        """The line that `demo --json` ends with."""
        return {
            "record": {column: _plain(value) for column, value in self.record.items()},
            "audio": {
                "caller_heard_agent": self.caller_heard_agent.heard,
                "agent_heard_caller": self.agent_heard_caller.heard,
                "delay_ms": {
                    "caller_to_agent": round(self.agent_heard_caller.delay_ms),
                    "agent_to_caller": round(self.caller_heard_agent.delay_ms),
                },
                "level_change_db": {
                    "caller_to_agent": round(self.agent_heard_caller.match.gain_db, 1),
                    "agent_to_caller": round(self.caller_heard_agent.match.gain_db, 1),
                },
            },
            "timings_ms": vars(self.timings),
        }


def _plain(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).isoformat(timespec="milliseconds")
    return str(value) if isinstance(value, uuid.UUID | Decimal) else value
