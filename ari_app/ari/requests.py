"""Requests to Asterisk's REST Interface: one method, time limits, errors as types."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import aiohttp

from ari_app.ari.errors import AriClosed, AriUnavailable, http_error

#: Asterisk closes an idle connection after `session_keep_alive`, 15 s by default (its `main/http.c`). We let
#: go of ours well before, so that no request goes into a connection that is being closed.
IDLE_CONNECTION_SECONDS = 5.0

#: Connections at once; requests above that wait for one. Asterisk's `sessionlimit` is 100 by default, and
#: every media websocket counts as well.
CONNECTIONS = 16

#: Longer answers than this are not read into an error message.
MESSAGE_LIMIT = 300

Value = str | int | bool | Sequence[str] | None


def segment(text: str) -> str:
    """One path segment, escaped."""
    return quote(text, safe="")


def flat(params: Mapping[str, Value]) -> dict[str, str]:
    """Query parameters as ARI wants them: no None, true/false, lists with commas."""
    query = {}
    for name, value in params.items():
        if value is None:
            continue
        if isinstance(value, bool):
            query[name] = "true" if value else "false"
        elif isinstance(value, str | int):
            query[name] = str(value)
        else:
            query[name] = ",".join(value)
    return query


class Requests:
    """Sends requests under `<url>/ari`. Opened and closed by the client."""

    def __init__(self, url: str, username: str, password: str, timeout: float) -> None:
        self.url = url.rstrip("/")
        credentials = base64.b64encode(f"{username}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {credentials}"}
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """Raises AriClosed outside of the client's `async with`."""
        if self._session is None:
            raise AriClosed("the ARI client is not open")
        return self._session

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=self._timeout),
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_CONNECTION_SECONDS),
        )
        self._places = asyncio.Semaphore(CONNECTIONS)

    async def close(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def get(self, path: str, **params: Value) -> Any:
        return await self.send("GET", path, params)

    async def post(self, path: str, body: Any = None, **params: Value) -> Any:
        return await self.send("POST", path, params, body)

    async def put(self, path: str, body: Any = None, **params: Value) -> Any:
        return await self.send("PUT", path, params, body)

    async def delete(self, path: str, **params: Value) -> Any:
        return await self.send("DELETE", path, params)

    async def send(self, method: str, path: str, params: Mapping[str, Value], body: Any = None) -> Any:
        """Decoded JSON of the answer, None where there is none (204).

        Raises AriUnavailable when there is no answer within the time limit, AriHttpError for a status of 400
        or more.
        """
        session = self.session
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._places,
                session.request(
                    method, f"{self.url}/ari{path}", params=flat(params), json=body, allow_redirects=False
                ) as response,
            ):
                status, text = response.status, await response.text()
        except TimeoutError as error:
            message = f"no answer within {self._timeout:g} s"
            raise AriUnavailable(message, method=method, path=path) from error
        except aiohttp.ClientError as error:
            raise AriUnavailable(str(error) or type(error).__name__, method=method, path=path) from error
        if status >= 400:
            raise http_error(status, _message(text), method, path)
        if not text:
            return None
        try:
            return json.loads(text)
        except ValueError as error:
            raise AriUnavailable("the answer is not JSON", method=method, path=path) from error

    async def download(self, path: str, chunk: int) -> AsyncIterator[bytes]:
        """The answer's body, `chunk` bytes at a time (the last may be shorter); the time limit is for each of them.

        It holds none of the places for requests, since it may take long. Raises as `send`.
        """
        limit = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout, sock_read=self._timeout)
        try:
            async with self.session.get(f"{self.url}/ari{path}", timeout=limit, allow_redirects=False) as response:
                if response.status >= 400:
                    raise http_error(response.status, _message(await response.text()), "GET", path)
                while True:
                    try:
                        yield await response.content.readexactly(chunk)
                    except asyncio.IncompleteReadError as error:
                        if error.partial:
                            yield error.partial
                        return
        except TimeoutError as error:
            raise AriUnavailable(f"nothing came for {self._timeout:g} s", method="GET", path=path) from error
        except aiohttp.ClientError as error:
            raise AriUnavailable(str(error) or type(error).__name__, method="GET", path=path) from error


def _message(text: str) -> str:
    """What an error answer says: Asterisk sends `{"message": …}` or `{"error": …}`."""
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if isinstance(body, dict):
        text = str(body.get("message") or body.get("error") or text)
    return text[:MESSAGE_LIMIT]
