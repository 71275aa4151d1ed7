"""What a test can wait for, so that it never sleeps."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from .call import Call

_ORDER = ("new", "ringing", "pre_accepted", "connected", "ended")


class Condition(BaseModel):
    """All that is given has to hold at once."""

    model_config = ConfigDict(extra="forbid")

    state: Literal["ringing", "pre_accepted", "connected", "ended"] | None = None
    dtls: Literal["connected", "failed"] | None = None
    packets_in: int | None = Field(default=None, ge=1, description="RTP packets of the business")
    audio: bool = Field(default=False, description="the business was heard after accept")
    voice: bool = Field(default=False, description="heard after accept, and it was no silence")
    dtmf: str | None = Field(default=None, description="digits heard so far end with these")
    played_out: bool = Field(default=False, description="a sound that is not repeated has come to its end")
    webhook: Literal["connect", "terminate", "RINGING", "ACCEPTED", "REJECTED"] | None = Field(
        None, description="that webhook was delivered"
    )
    recording: bool = Field(default=False, description="the recording is written")
    closed: bool = Field(default=False, description="ended, sockets closed, recording written")

    def holds(self, call: Call) -> bool:
        """Whether it is so now."""
        return all(
            (
                self.state is None or call.state == self.state,
                self.dtls is None or call.relay.dtls.state == self.dtls,
                self.packets_in is None or call.relay.counters.packets_in >= self.packets_in,
                not self.audio or "first_audio" in call.times,
                not self.voice or "first_voice" in call.times,
                self.dtmf is None or call.relay.events.text.endswith(self.dtmf),
                not self.played_out or call.phone.played_out,
                self.webhook is None or _delivered(call, self.webhook),
                not self.recording or call.recording["state"] in ("written", "failed"),
                not self.closed or call.closed,
            )
        )

    def impossible(self, call: Call) -> bool:
        """Whether the state is one the call has left behind."""
        return self.state is not None and _ORDER.index(call.state) > _ORDER.index(self.state)

    async def wait(self, call: Call, timeout: float) -> bool:
        """Waits at most `timeout` seconds. Raises LookupError when it can no longer come true."""
        if self.packets_in is not None:
            call.relay.notify_at = self.packets_in
        fulfilled = await call.wait(lambda: self.holds(call) or self.impossible(call), timeout)
        if fulfilled and not self.holds(call):
            raise LookupError(f"the call is {call.state}: {self.text()} cannot come any more")
        return fulfilled

    def text(self) -> str:
        """As the query had it."""
        given = self.model_dump(exclude_defaults=True)
        return ", ".join(f"{key}={value}" for key, value in given.items()) or "nothing"


def _delivered(call: Call, event: str) -> bool:
    return any(
        webhook.state == "delivered" and (call.id, event) in webhook.events
        for webhook in call.around.sender.of_call(call.id)
    )
