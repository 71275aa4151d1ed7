"""The state of agents' phones, as Asterisk tells it.

Measured on 22.10.1: `deviceState:PJSIP/1001` brings UNAVAILABLE and NOT_INUSE within 1 ms of the phone's
registration, RINGING and INUSE with the call; a PJSIP endpoint that does not exist, and a Local channel
without its extension, are INVALID; Local channels turn INUSE when answered. Technologies without states are
UNKNOWN.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable, Mapping

from ari_app.ari import AriClient, AriError, Subscription
from ari_app.ari.events import DeviceStateChanged, Reconnected

logger = logging.getLogger(__name__)

#: Calls to such a phone are of no use.
AWAY = frozenset({"UNAVAILABLE", "INVALID"})

#: The agent has the phone at the ear, or it rings for another call.
IN_USE = frozenset({"INUSE", "BUSY", "RINGING", "RINGINUSE", "ONHOLD"})

#: So many devices go into one request, and so many requests run at once.
BATCH = 50
REQUESTS_AT_ONCE = 8


class Devices:
    """Keeps the states of the watched devices up to date; `changed` is called with a device's name."""

    def __init__(self, ari: AriClient, changed: Callable[[str], None]) -> None:
        self._ari = ari
        self._changed = changed
        self._states: dict[str, str] = {}
        self._events: Subscription | None = None
        self.news = asyncio.Event()
        "Set when a state has changed; whoever waits for it clears it."

    @property
    def states(self) -> Mapping[str, str]:
        """As known now, by device."""
        return self._states

    def open(self) -> None:
        """Listen from now on; before the first `watch`, so that nothing is missed. `run` reads."""
        self._events = self._ari.events(DeviceStateChanged, Reconnected)

    def close(self) -> None:
        if self._events is not None:
            self._events.close()

    def is_away(self, device: str) -> bool:
        return self._states.get(device) in AWAY

    def is_in_use(self, device: str) -> bool:
        return self._states.get(device) in IN_USE

    async def watch(self, devices: Iterable[str]) -> None:
        """Also watch these. One whose state cannot be read counts as idle: ringing it will tell."""
        new = [device for device in devices if device not in self._states]
        self._states |= dict.fromkeys(new, "UNKNOWN")
        if new:
            self.news.set()
        await self._read(new)

    async def run(self) -> None:
        """Follow the states until closed."""
        if self._events is None:
            raise RuntimeError("open it before")
        async for event in self._events:
            match event:
                case DeviceStateChanged():
                    self._take(event.device_state.name, event.device_state.state)
                case Reconnected():
                    await self._read(list(self._states))

    def _take(self, device: str, state: str) -> None:
        if self._states.get(device, state) != state:
            self._states[device] = state
            self.news.set()
            self._changed(device)

    async def _read(self, devices: list[str]) -> None:
        """Subscribe first, then read: a change in between comes as an event."""
        batches = iter(devices)
        while batch := list(itertools.islice(batches, BATCH)):
            try:
                await self._ari.applications.subscribe(*(f"deviceState:{device}" for device in batch))
            except AriError as error:
                logger.error("the states of %s … will not be told: %s", batch[0], error)
        limit = asyncio.Semaphore(REQUESTS_AT_ONCE)

        async def read(device: str) -> None:
            async with limit:
                try:
                    self._take(device, (await self._ari.device_states.get(device)).state)
                except AriError as error:
                    logger.error("the state of %s cannot be read: %s", device, error)

        async with asyncio.TaskGroup() as group:
            for device in devices:
                group.create_task(read(device))
