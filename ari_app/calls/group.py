"""A group of agents as it is configured. Read anew for every call."""

from dataclasses import dataclass

from ari_app.calls.destination import Destination
from ari_app.queueing import Rules


@dataclass(frozen=True)
class Group:
    """What callers who wait for this group get; whom they get is in `rules`."""

    rules: Rules
    ring_seconds: int
    service_level_seconds: int
    no_agent: Destination
    music_class: str
    waiting_interval_seconds: int
    announce_position: bool
    announce_wait: bool
    exit_digit: str | None
    exit_to: Destination | None
    whisper: str | None
    "What the agent hears before the caller is joined."

    @property
    def name(self) -> str:
        return self.rules.name
