"""Keeps in PostgreSQL how agents' phones stand, so that people can see it. The queue itself needs no table."""

import asyncio
import logging

from ari_app.flows.devices import Devices
from ari_app.store.database import StoreError
from ari_app.store.device_states import DeviceStateStore

logger = logging.getLogger(__name__)

#: While PostgreSQL is away, s.
AWAY_SECONDS = 2.0


class DeviceKeeper:
    """One for the process."""

    def __init__(self, devices: Devices, store: DeviceStateStore) -> None:
        self._devices = devices
        self._store = store
        self._written: dict[str, str] = {}

    async def run(self) -> None:
        """Write what changes, for ever; at the beginning all of it, for a predecessor's word is out of date."""
        while True:
            self._devices.news.clear()
            changed = {d: state for d, state in self._devices.states.items() if self._written.get(d) != state}
            if changed:
                try:
                    await self._store.write(changed)
                    self._written |= changed
                except StoreError as error:
                    logger.warning("states of phones are not written for now: %s", error)
                    await asyncio.sleep(AWAY_SECONDS)
                    continue
            await self._devices.news.wait()
