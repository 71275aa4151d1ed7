"""The event websocket: connects, pings, reconnects with back-off, hands every event to the router."""

import asyncio
import json
import logging
import random
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from ari_app.ari.errors import AriError, AriReplaced, AriUnavailable, ServerError, http_error
from ari_app.ari.requests import Requests, flat
from ari_app.ari.subscriptions import Router

logger = logging.getLogger(__name__)

#: An Asterisk that is just starting refuses connections, then answers 503 for a moment (22.10.1).
NOT_YET = (AriUnavailable, ServerError)

#: Wait before the first try to reconnect, and the longest wait, s. The waits double, less up to half of it by
#: chance, so that several clients do not come back in step.
FIRST_WAIT = 0.1
LONGEST_WAIT = 5.0

#: How often we see whether events still come in, and how long one that we send to ourselves may take, s. It
#: takes 1 ms.
PROBE_SECONDS = 15.0
PROBE_LIMIT = 2.0

#: A connection that lived shorter than this does not reset the back-off: an Asterisk that accepts and cuts at
#: once must not be called in a tight loop.
STABLE_SECONDS = 5.0


class EventStream:
    """Reads the event websocket of one application until it is closed or fails for good."""

    def __init__(
        self,
        requests: Requests,
        router: Router,
        app: str,
        *,
        heartbeat: float,
        connect_timeout: float,
        subscribe_all: bool,
        resume: Callable[[], Awaitable[None]],
    ) -> None:
        self._requests = requests
        self._router = router
        self._query = flat({"app": app, "subscribeAll": subscribe_all})
        self._app = app
        self._heartbeat = heartbeat
        self._connect_timeout = connect_timeout
        self._resume = resume
        self.connected = False
        self.proven = asyncio.Event()
        "Set when events have come in for the first time."
        self._holding = False
        self._held: list[dict[str, Any]] = []
        self._expected = ""
        self._arrived = asyncio.Event()

    async def connect(self) -> aiohttp.ClientWebSocketResponse:
        """One attempt. Raises AriUnavailable, or AriHttpError (Unauthorized, …) when Asterisk refuses."""
        path = "/events"
        try:
            async with asyncio.timeout(self._connect_timeout):
                return await self._requests.session.ws_connect(
                    f"{self._requests.url}/ari{path}",
                    params=self._query,
                    heartbeat=self._heartbeat,
                    timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                )
        except aiohttp.WSServerHandshakeError as error:
            if error.status >= 400:
                raise http_error(error.status, error.message, "GET", path) from error
            raise AriUnavailable(f"no websocket: {error.message}", method="GET", path=path) from error
        except TimeoutError as error:
            message = f"no answer within {self._connect_timeout:g} s"
            raise AriUnavailable(message, method="GET", path=path) from error
        except aiohttp.ClientError as error:
            raise AriUnavailable(str(error) or type(error).__name__, method="GET", path=path) from error

    async def connect_within(
        self, seconds: float, before: Callable[[], Awaitable[None]]
    ) -> aiohttp.ClientWebSocketResponse:
        """Try, with `before` in front of it, until Asterisk answers. Raises the last failure after `seconds`,
        a refusal (401, 403, 404) at once.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        attempt = 0
        while True:
            try:
                await before()
                return await self.connect()
            except NOT_YET as error:
                wait = back_off(attempt)
                if asyncio.get_running_loop().time() + wait > deadline:
                    raise
                if attempt == 0:
                    logger.info("waiting for Asterisk: %s", error)
                attempt += 1
                await asyncio.sleep(wait)

    async def run(self, websocket: aiohttp.ClientWebSocketResponse) -> AriError:
        """Read events, reconnecting as often as needed, until there is no way on; return why."""
        loop = asyncio.get_running_loop()
        attempt = 0
        lost_events = False
        while True:
            since = loop.time()
            try:
                async with asyncio.TaskGroup() as group:
                    guard = group.create_task(self._guard(websocket, lost_events=lost_events))
                    replaced = await self._read(websocket)
                    guard.cancel()
            finally:
                self.connected = False
                await websocket.close()
            if replaced:
                return AriReplaced(f"another client took over the Stasis application {self._app}")
            lost_events = True
            if loop.time() - since >= STABLE_SECONDS:
                attempt = 0
            logger.warning("event websocket of %s was cut (%s): reconnecting", self._app, websocket.close_code)
            while True:
                await asyncio.sleep(back_off(attempt))
                attempt += 1
                try:
                    websocket = await self.connect()
                except NOT_YET as error:
                    logger.log(logging.WARNING if attempt % 10 == 1 else logging.DEBUG, "no reconnection: %s", error)
                except AriError as error:
                    logger.error("Asterisk refuses the event websocket of %s: %s", self._app, error)
                    return error
                else:
                    break

    async def _guard(self, websocket: aiohttp.ClientWebSocketResponse, *, lost_events: bool) -> None:
        """See to it that events really come in, and cut the websocket when they do not.

        Events that come while the world is read anew are held back, so that what it looked like then is told
        first.
        """
        try:
            await self._probe()
            if lost_events:
                logger.warning("event websocket of %s is back; events of the time between are lost", self._app)
                await self._resume()
            self._holding = False
            for raw in self._held:
                self._router.publish(raw)
            self._held.clear()
            self.connected = True
            self.proven.set()
            while True:
                await asyncio.sleep(PROBE_SECONDS)
                await self._probe()
        except AriError as error:
            logger.warning("events of %s do not come in: %s", self._app, error)
            await websocket.close()

    async def _probe(self) -> None:
        """Send an event to ourselves. Raises AriError when it does not come back.

        That the websocket is open proves nothing: Asterisk ends an application by its name when it notices
        that an earlier websocket of it was closed, even if a new one has been opened meanwhile, and then
        sends nothing to it (22.10.1: after 1 % of the reconnects without a pause).
        """
        self._expected = f"ari-probe-{uuid.uuid4().hex}"
        self._arrived.clear()
        await self._requests.post(f"/events/user/{self._expected}", application=self._app)
        try:
            async with asyncio.timeout(PROBE_LIMIT):
                await self._arrived.wait()
        except TimeoutError as error:
            raise AriUnavailable(f"no event came within {PROBE_LIMIT:g} s") from error

    async def _read(self, websocket: aiohttp.ClientWebSocketResponse) -> bool:
        """Hand on events until the websocket ends; True when another client replaced us."""
        self._holding = True
        self._held.clear()
        async for message in websocket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            try:
                raw = json.loads(message.data)
            except ValueError:
                logger.warning("an event that is not JSON was dropped")
                continue
            if not isinstance(raw, dict):
                continue
            if raw.get("eventname") == self._expected:
                self._arrived.set()
            elif raw.get("type") == "ApplicationReplaced":
                logger.error(
                    "another client took over the Stasis application %s: does a second process run with the "
                    "same application name? This one stops listening",
                    self._app,
                )
                self._router.publish(raw)
                return True
            elif self._holding:
                self._held.append(raw)
            else:
                self._router.publish(raw)
        return False


def back_off(attempt: int) -> float:
    """Seconds to wait before attempt number `attempt` (from 0)."""
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(attempt, 16)) * random.uniform(0.5, 1.0)
