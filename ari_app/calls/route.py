"""Where calls to a number go, and what callers hear."""

from dataclasses import dataclass

from ari_app.calls.offer import Agent


@dataclass(frozen=True)
class Route:
    number: str
    agent: Agent
    entry_prompt: str
    "Media URI, played once to a caller who enters."
    no_agent_prompt: str
    "Media URI, played when nobody took the call."
    music_class: str
    ring_seconds: int
    "How long one agent's phone rings before the call counts as missed, s."
