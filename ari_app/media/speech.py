"""Real speech for the demo and the tests, out of the sound files that every Asterisk has (CC BY-SA 3.0)."""

from __future__ import annotations

from pathlib import Path

from ari_app.media.wav import Sound, read_wav, silence

GREETING = ("hello",)
"""What the agent says on taking the call."""
CALLER_WORDS = ("tt-weasels",)
"""Weasels have eaten our phone system."""
AGENT_WORDS = ("im-sorry", "please-try-call-later")
"""I'm sorry. Please try your call again later."""
PAUSE_S = 0.15


def sentence(sounds: Path, names: tuple[str, ...]) -> Sound:
    """Some of Asterisk's prompts after each other; `sounds` is a language's folder. OSError if one is missing."""
    spoken = read_wav(sounds / f"{names[0]}.wav")
    for name in names[1:]:
        spoken = spoken + silence(PAUSE_S, spoken.rate) + read_wav(sounds / f"{name}.wav")
    return spoken
