"""The client: `async with AriClient(url, username, password, app) as client: …`."""

import asyncio
import logging
from typing import Self

import aiohttp

from ari_app.ari.bridges import Bridges
from ari_app.ari.channel import Channel
from ari_app.ari.channels import Channels
from ari_app.ari.connection import Connection
from ari_app.ari.errors import AriClosed, AriError, AriUnavailable
from ari_app.ari.events import Event
from ari_app.ari.handle import Handle
from ari_app.ari.models import ChannelData
from ari_app.ari.playbacks import Playbacks
from ari_app.ari.recordings import Recordings
from ari_app.ari.requests import Requests
from ari_app.ari.resync import resync
from ari_app.ari.stream import EventStream
from ari_app.ari.subscriptions import Router, Subscription
from ari_app.ari.system import Applications, Asterisk, DeviceStates, Endpoints, Mailboxes

logger = logging.getLogger(__name__)

#: Limit for one request and for the websocket handshake, s. On the loopback, requests take some ms; Asterisk
#: under load has been seen to take seconds.
REQUEST_SECONDS = 5.0

#: How long `async with` waits for an Asterisk that is not there yet, s.
START_SECONDS = 30.0

#: A websocket that is silent for so long is pinged; after half of it without a pong it counts as cut, s.
HEARTBEAT_SECONDS = 5.0


class AriClient:
    """A Stasis application's connection to one Asterisk: requests, and events as long as it is open.

    Entering it waits up to `start_timeout` s for Asterisk, and raises AriUnavailable after that; wrong
    credentials raise Unauthorized at once. When the event websocket is cut later on, it comes back by itself:
    every watched handle is then told what it missed (`resync.py`), and subscribers of `events()` get a
    `Reconnected`, at which the owner reads what else it needs. Leaving it closes everything; channels and
    bridges stay in Asterisk.
    """

    def __init__(
        self,
        url: str,
        username: str,
        password: str,
        app: str,
        *,
        request_timeout: float = REQUEST_SECONDS,
        start_timeout: float = START_SECONDS,
        heartbeat: float = HEARTBEAT_SECONDS,
        subscribe_all: bool = False,
    ) -> None:
        self.app = app
        self._start_timeout = start_timeout
        self._requests = Requests(url, username, password, request_timeout)
        self._router = Router()
        connection = Connection(self._requests, self._router, app)
        self._stream = EventStream(
            self._requests,
            self._router,
            app,
            heartbeat=heartbeat,
            connect_timeout=request_timeout,
            subscribe_all=subscribe_all,
            resume=lambda: resync(connection),
        )
        self._reader: asyncio.Task[AriError] | None = None
        self.left_behind: list[Channel] = []
        self.channels = Channels(connection)
        self.bridges = Bridges(connection)
        self.playbacks = Playbacks(connection)
        self.recordings = Recordings(connection)
        self.endpoints = Endpoints(connection)
        self.device_states = DeviceStates(connection)
        self.mailboxes = Mailboxes(connection)
        self.applications = Applications(connection)
        self.asterisk = Asterisk(connection)

    def __repr__(self) -> str:
        return f"<AriClient {self.app} at {self._requests.url}>"

    async def __aenter__(self) -> Self:
        await self._requests.open()
        try:
            async with asyncio.timeout(self._start_timeout):
                websocket = await self._stream.connect_within(self._start_timeout, self._look_around)
                self._reader = asyncio.create_task(self._read(websocket), name=f"ari-events-{self.app}")
                await self._stream.proven.wait()
            if self._reader.done():
                raise self._reader.result()
        except TimeoutError as error:
            await self._close()
            raise AriUnavailable(f"no events within {self._start_timeout:g} s", method="GET", path="/events") from error
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._close()

    async def _close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
        self._router.fail(AriClosed("the ARI client was closed"))
        await self._requests.close()

    async def _look_around(self) -> None:
        self.left_behind = await self.channels_inside()

    async def channels_inside(self) -> list[Channel]:
        """Channels that are in our application now, those that were made but not dialled yet included."""
        channels = await self.channels.list()
        return [channel for channel in channels if channel.data and inside(channel.data, self.app)]

    @property
    def connected(self) -> bool:
        """Whether events are coming in at this moment."""
        return self._stream.connected

    @property
    def subscriptions(self) -> int:
        """How many subscriptions are open; back at its start value when all handles were closed."""
        return len(self._router)

    def events(self, *types: type[Event]) -> Subscription:
        """All events of the application (of `types`, if given), for one consumer. Close it after use.

        When the client fails for good (AriReplaced, Unauthorized, Forbidden), iteration raises that error.
        """
        return self._router.subscribe_all(types)

    def subscribe(self, *handles: Handle, types: tuple[type[Event], ...] = ()) -> Subscription:
        """One queue for the events of several handles, in the order in which Asterisk sent them. Close it
        after use.

        A channel's events include those of the prompts that are played on it. More can be added with `watch`.
        """
        return self._router.subscribe(*(handle.subject for handle in handles), types=types)

    async def wait_failed(self) -> AriError:
        """Wait until there is no way on (another client took the application over, Asterisk refuses us)."""
        if self._reader is None:
            raise AriClosed("the ARI client is not open")
        return await asyncio.shield(self._reader)

    async def _read(self, websocket: aiohttp.ClientWebSocketResponse) -> AriError:
        try:
            failure = await self._stream.run(websocket)
        except Exception as error:
            logger.exception("the event websocket of %s ended by a fault of ours", self.app)
            failure = AriClosed(f"event websocket: {error}")
        self._router.fail(failure)
        self._stream.proven.set()
        return failure


def inside(data: ChannelData, app: str) -> bool:
    """Whether a channel is in the Stasis application `app`."""
    return data.dialplan.app_name == "Stasis" and data.dialplan.app_data.split(",")[0] == app
