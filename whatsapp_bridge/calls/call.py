"""What calls of both directions have in common: one ending, watched paths, digits, and everything given back."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

import asyncpg

from ari_app.ari import AriClient, AriError
from whatsapp_bridge.calls.causes import NETWORK_OUT_OF_ORDER, TEMPORARY_FAILURE
from whatsapp_bridge.config import Config
from whatsapp_bridge.meta.graph import Action, GraphClient, GraphError
from whatsapp_bridge.meta.payloads import Terminate
from whatsapp_bridge.pbx.dialled_leg import DialledLegError
from whatsapp_bridge.pbx.leg import Hangup
from whatsapp_bridge.pbx.media_socket import MediaSocketError
from whatsapp_bridge.rtc import sdp
from whatsapp_bridge.rtc.peer import Peer, PeerError
from whatsapp_bridge.rtc.relay import MediaClock
from whatsapp_bridge.store import Ending, Store

logger = logging.getLogger(__name__)

#: For everything that is to be given back at the end of a call, s.
CLEAN_UP_TIMEOUT = 20.0
#: How long a broken path or a refused request waits for the hangup or terminate that explains it, s.
EXPLANATION_TIMEOUT = 1.0
#: Digits that wait to be delivered to the PBX; more is not a person typing.
MAX_DIGITS = 64


@dataclass(frozen=True)
class Services:
    """What all calls of the process share."""

    config: Config
    store: Store
    graph: GraphClient
    ari: AriClient
    clock: MediaClock
    media_address: str


class Leg(Protocol):
    """A call's side in Asterisk."""

    hung_up: asyncio.Future[Hangup]

    async def send_digit(self, digit: str) -> None: ...


class CallError(Exception):
    """The call cannot go on; the message says why."""


class Over(Exception):
    """Ends the task group of a call whose ending is known."""


#: Failures of the world outside. They end the call that met them; anything else is a bug, and ends it too.
FAILURES = (
    CallError,
    PeerError,
    sdp.SdpError,
    GraphError,
    AriError,
    MediaSocketError,
    DialledLegError,
    TimeoutError,
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
)


class Call:
    """A call of either direction. `end` may come at any time."""

    def __init__(self, services: Services, call_id: uuid.UUID, phone_number_id: str) -> None:
        self.id = call_id
        """Ours, in `whatsapp.calls`."""
        self.phone_number_id = phone_number_id
        """Meta's id of the business number."""
        self._services = services
        self._ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._digits: asyncio.Queue[str] = asyncio.Queue(MAX_DIGITS)
        self._name = f"call {self.id.hex[:8]}"

    def end(self, ending: Ending) -> None:
        """Let the call end; the first ending counts."""
        if not self._ended.done():
            self._ended.set_result(ending)

    def terminated(self, event: Terminate) -> None:
        """Meta says that the call is over."""
        raise NotImplementedError

    async def run(self) -> None:
        """Take the call through its life. Raises nothing: what goes wrong is the call's ending."""
        raise NotImplementedError

    async def _live(self, leg: Leg, progress: Callable[[asyncio.TaskGroup], Coroutine[Any, Any, None]]) -> Ending:
        """Run `progress` and what it starts in the group until the call has its ending."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._until_ended())
                group.create_task(progress(group))
        except* Over:
            pass
        except* FAILURES as failures:
            error = first_of(failures)
            await self._explain(leg, error)
            self.end(self._failure(error))
        except* Exception as bugs:
            logger.exception("%s: unexpected error", self._name, exc_info=bugs)
            self.end(Ending("system", f"internal error: {words(first_of(bugs))}", TEMPORARY_FAILURE))
        return await self._ended

    def _failure(self, error: BaseException) -> Ending:
        """The ending that a failure of the world outside is."""
        return Ending("system", words(error), TEMPORARY_FAILURE)

    async def _until_ended(self) -> None:
        await asyncio.shield(self._ended)
        raise Over

    async def _watch_pbx(self, leg: Leg) -> None:
        self._pbx_hung_up(await asyncio.shield(leg.hung_up))

    async def _end_when(self, event: asyncio.Event, reason: str) -> None:
        """The end of a media path ends the call, unless a hangup or terminate says so first."""
        await event.wait()
        # The hangup or terminate that explains it is on its way by another connection.
        await asyncio.wait((self._ended,), timeout=EXPLANATION_TIMEOUT)
        self.end(Ending("system", reason, NETWORK_OUT_OF_ORDER))

    async def _watch_peer(self, peer: Peer) -> None:
        await self._end_when(peer.closed, "the media path to Meta is gone")

    async def _explain(self, leg: Leg, error: BaseException) -> None:
        """A request that failed because the other side had just gone: let that be the ending."""
        await asyncio.wait((self._ended, leg.hung_up), timeout=EXPLANATION_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
        if leg.hung_up.done():
            self._pbx_hung_up(leg.hung_up.result())

    def _pbx_hung_up(self, hangup: Hangup) -> None:
        self.end(Ending("pbx", f"the PBX hung up: {hangup.text} (cause {hangup.cause})", hangup.cause))

    # Digits of the user

    def _digit_pressed(self, digit: str) -> None:
        try:
            self._digits.put_nowait(digit)
        except asyncio.QueueFull:
            logger.warning("%s: more than %d digits wait, one is lost", self._name, MAX_DIGITS)

    async def _deliver_digits(self, leg: Leg) -> None:
        while True:
            await leg.send_digit(await self._digits.get())

    # Helpers

    async def _act(self, call_id: str, action: Action, answer: str | None = None) -> None:
        await self._services.graph.call_action(self.phone_number_id, call_id, action, sdp_answer=answer)

    async def _note(self, write: Awaitable[object]) -> None:
        """Write a fact down. A database that is away must not end a call that is going well."""
        try:
            await write
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            logger.error("%s: a fact could not be stored: %s", self._name, error)


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first cause of a group."""
    error: BaseException = group.exceptions[0]
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def words(error: BaseException) -> str:
    """An error as the reason of an ending."""
    return str(error) or type(error).__name__
