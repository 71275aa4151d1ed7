"""Which SIP targets answer: Asterisk asks them by OPTIONS, we tell it whom to ask and read what it found.

Every target becomes an address of record with `qualify_frequency` and an endpoint, in Asterisk's memory
(sorcery.conf maps both so). They only carry the OPTIONS; calls go through the endpoints of pjsip_whatsapp.conf,
so that a PBX that does not allow this still forwards calls, without knowing beforehand who is away.
"""

import asyncio
import logging
import math
from enum import StrEnum

from ari_app.ari import AriClient, AriError, AriHttpError, Conflict, Forbidden, NotFound
from ari_app.ari.events import Reconnected
from ari_app.calls.sip_target import SipTarget
from ari_app.store.database import StoreError
from ari_app.store.sip_targets import SipTargetStore

logger = logging.getLogger(__name__)

#: Between two looks at which targets are configured, s.
LOOK_SECONDS = 5.0

#: How long Asterisk waits for an answer to OPTIONS, s. Any answer is a sign of life: many systems refuse
#: OPTIONS and take calls.
QUALIFY_TIMEOUT = 2.0

PREFIX = "whatsapp-health-"


class Health(StrEnum):
    REACHABLE = "reachable"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"


class TargetHealth:
    """One for each Asterisk."""

    def __init__(self, ari: AriClient, store: SipTargetStore, qualify_seconds: int) -> None:
        """Asterisk is to ask each target every `qualify_seconds` s."""
        self._ari = ari
        self._qualify_seconds = qualify_seconds
        # Until its first OPTIONS, which comes within that time, a new target is `offline` (measured, 22.10.1).
        self._unknown_seconds = qualify_seconds + QUALIFY_TIMEOUT + 1.0
        self._store = store
        self._watched: dict[str, float] = {}
        "When each one that Asterisk watches was made, loop time."
        self._complained = False

    async def run(self) -> None:
        """Keep Asterisk's list up to date until cancelled."""
        with self._ari.events(Reconnected) as reconnects:
            while True:
                try:
                    await self._update()
                except (AriError, StoreError, ValueError) as error:
                    logger.warning("the SIP targets that Asterisk watches cannot be brought up to date: %s", error)
                try:
                    await reconnects.wait_for(Reconnected, timeout=LOOK_SECONDS)
                except TimeoutError:
                    continue
                except AriError:
                    return  # the client has failed for good; whoever serves the calls says so

    async def of(self, target: SipTarget) -> Health:
        """What Asterisk found at its last OPTIONS. Raises AriError only when Asterisk is out of reach."""
        try:
            endpoint = await self._ari.endpoints.get("PJSIP", target.health_id)
        except NotFound:
            return Health.UNKNOWN
        return self._judged(target, endpoint.state)

    def _judged(self, target: SipTarget, state: str | None) -> Health:
        if state == "online":
            return Health.REACHABLE
        made = self._watched.get(target.health_id, -math.inf)
        if asyncio.get_running_loop().time() - made < self._unknown_seconds:
            return Health.UNKNOWN
        return Health.UNREACHABLE if state == "offline" else Health.UNKNOWN

    async def _update(self) -> None:
        wanted = {target.health_id: target for target in await self._store.all()}
        there = {
            endpoint.resource: endpoint.state
            for endpoint in await self._ari.endpoints.list()
            if endpoint.technology == "PJSIP" and endpoint.resource.startswith(PREFIX)
        }
        for name in there.keys() - wanted.keys():
            await self._forget(name)
        for name in wanted.keys() - there.keys():
            await self._watch(wanted[name])
        found = [(target, self._judged(target, there.get(name)).value) for name, target in wanted.items()]
        await self._store.write_health(found)

    async def _watch(self, target: SipTarget) -> None:
        """Never twice: an address of record that exists would get its contact once more (measured, 22.10.1)."""
        name = target.health_id
        address = {
            "contact": target.uri(),
            "qualify_frequency": str(self._qualify_seconds),
            "qualify_timeout": str(QUALIFY_TIMEOUT),
        }
        # `identify_by = ip` without an identify section: nobody can come in by it.
        endpoint = {"aors": name, "context": "whatsapp-target", "identify_by": "ip", "disallow": "all", "allow": "ulaw"}
        try:
            await self._forget(name)
            await self._ari.asterisk.put_object("res_pjsip", "aor", name, address)
            await self._ari.asterisk.put_object("res_pjsip", "endpoint", name, endpoint)
        except AriHttpError as error:
            if not self._complained:
                logger.error(
                    "Asterisk cannot watch SIP targets (%s): include sorcery_whatsapp.conf in sorcery.conf, and "
                    "restart Asterisk. Calls are forwarded without knowing who is away",
                    error,
                )
            self._complained = True
            return
        self._watched[name] = asyncio.get_running_loop().time()
        logger.info("%s is watched as %s", target, name)

    async def _forget(self, name: str) -> None:
        self._watched.pop(name, None)
        for kind in ("endpoint", "aor"):
            try:
                await self._ari.asterisk.delete_object("res_pjsip", kind, name)
            except (NotFound, Forbidden, Conflict):
                continue
