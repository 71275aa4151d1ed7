"""Client of Meta's Graph API, the part that steers calls.

GraphError
├── GraphUnavailable    no answer: network, time-out, or a 5xx after the retry
└── GraphRefused        Meta said no; carries HTTP status, code and Meta's words
"""

import asyncio
import logging
from types import TracebackType
from typing import Any, Literal, Self

import aiohttp

logger = logging.getLogger(__name__)

#: A call action that has no answer by then is of no use: Meta itself gives up after half a minute.
REQUEST_TIMEOUT = 5.0
#: One quick second try, for 5xx and network errors only (a 4xx would be the same again), s.
RETRY_AFTER = 0.3

Action = Literal["pre_accept", "accept", "reject", "terminate"]


class GraphError(Exception):
    """A request to Meta failed; `action` and `call_id` say which. `sort` is what the id is of: call or number."""

    def __init__(self, action: str, call_id: str, text: str, *, sort: str = "call") -> None:
        super().__init__(f"{action} of {sort} {call_id[:48]}: {text}")
        self.action, self.call_id, self.text = action, call_id, text


class GraphUnavailable(GraphError):
    """Meta gave no usable answer. `not_sent`: it certainly has not even got the request."""

    def __init__(self, action: str, call_id: str, text: str, *, sort: str = "call", not_sent: bool = False) -> None:
        super().__init__(action, call_id, text, sort=sort)
        self.not_sent = not_sent


class GraphRefused(GraphError):
    """Meta refused. `code` is Meta's (138000 …), 0 if the body held none."""

    def __init__(self, action: str, call_id: str, status: int, code: int, text: str, *, sort: str = "call") -> None:
        super().__init__(action, call_id, f"Meta refused with {code} (HTTP {status}): {text}", sort=sort)
        self.status, self.code, self.meta_text = status, code, text


class GraphClient:
    """`POST /{version}/{phone-number-id}/calls` and its kin, as an async context manager."""

    def __init__(self, base_url: str, api_version: str, access_token: str) -> None:
        self._base = f"{base_url.rstrip('/')}/{api_version}"
        self._token = access_token
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {self._token}"},
            timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT),
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
        )
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call_action(
        self, phone_number_id: str, call_id: str, action: Action, sdp_answer: str | None = None
    ) -> None:
        """Carry out an action on a call. Raises GraphRefused or GraphUnavailable.

        `sdp_answer` goes with pre_accept and accept, and has to be the very same string in both.
        """
        body: dict[str, Any] = {"messaging_product": "whatsapp", "call_id": call_id, "action": action}
        if sdp_answer is not None:
            body["session"] = {"sdp_type": "answer", "sdp": sdp_answer}
        try:
            await self._post(phone_number_id, action, call_id, body)
        except GraphUnavailable as error:
            logger.warning("%s; trying once more", error)
            await asyncio.sleep(RETRY_AFTER)
            await self._post(phone_number_id, action, call_id, body)

    async def of_number(
        self,
        method: Literal["GET", "POST"],
        phone_number_id: str,
        edge: str,
        *,
        body: dict[str, Any] | None = None,
        query: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """One request about a number: `edge` is settings, messages, call_permissions. The reply's body.

        It is tried once; what a second try would do is for the caller to know. Raises GraphRefused, GraphUnavailable.
        """
        assert self._session is not None, "GraphClient is used outside its context"
        url = f"{self._base}/{phone_number_id}/{edge}"
        try:
            async with self._session.request(method, url, json=body, params=query) as response:
                status, reply = response.status, await _json(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = "no answer in time" if isinstance(error, TimeoutError) else str(error)
            text, not_sent = f"Meta cannot be reached: {reason}", isinstance(error, aiohttp.ClientConnectorError)
            raise GraphUnavailable(edge, phone_number_id, text, sort="number", not_sent=not_sent) from error
        if status < 300 and "error" not in reply:
            return reply
        code, text = _error(reply)
        if status >= 500:
            text = f"HTTP {status} from Meta: {code} {text}"
            raise GraphUnavailable(edge, phone_number_id, text, sort="number")
        raise GraphRefused(edge, phone_number_id, status, code, _advised(status, code, text), sort="number")

    async def _post(self, phone_number_id: str, action: str, call_id: str, body: dict[str, Any]) -> None:
        assert self._session is not None, "GraphClient is used outside its context"
        try:
            async with self._session.post(f"{self._base}/{phone_number_id}/calls", json=body) as response:
                status, reply = response.status, await _json(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = "no answer in time" if isinstance(error, TimeoutError) else str(error)
            raise GraphUnavailable(action, call_id, f"Meta cannot be reached: {reason}") from error
        if status < 300 and reply.get("success") is True:
            return
        code, text = _error(reply)
        if status >= 500:
            raise GraphUnavailable(action, call_id, f"HTTP {status} from Meta: {code} {text}")
        raise GraphRefused(action, call_id, status, code, _advised(status, code, text))


async def _json(response: aiohttp.ClientResponse) -> dict[str, Any]:
    try:
        reply = await response.json(content_type=None)
    except ValueError:
        return {}
    return reply if isinstance(reply, dict) else {}


def _advised(status: int, code: int, text: str) -> str:
    # 138000 and 138006 are 401 as well, and have nothing to do with the token.
    wrong_token = code == 190 or (status == 401 and not 138000 <= code < 139000)
    return f"{text} (check access_token and its permissions)" if wrong_token else text


def _error(reply: dict[str, Any]) -> tuple[int, str]:
    error = reply.get("error")
    if not isinstance(error, dict):
        return 0, "no reason given"
    data = error.get("error_data")
    details = data.get("details") if isinstance(data, dict) else None
    code = error.get("code")
    text = ": ".join(str(part)[:200] for part in (error.get("message"), details) if part)
    return code if isinstance(code, int) else 0, text or "no reason given"
