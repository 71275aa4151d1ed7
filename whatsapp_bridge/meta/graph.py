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

from whatsapp_bridge.meta.payloads import MAX_CALL_ID

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
    """Meta gave no usable answer. `taken`: it may have done all the same what was asked."""

    def __init__(
        self, action: str, call_id: str, text: str, *, code: int = 0, taken: bool = True, sort: str = "call"
    ) -> None:
        super().__init__(action, call_id, text, sort=sort)
        self.code, self.taken = code, taken


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
            text, taken = f"Meta cannot be reached: {reason}", not isinstance(error, aiohttp.ClientConnectorError)
            raise GraphUnavailable(edge, phone_number_id, text, taken=taken, sort="number") from error
        if status < 300 and "error" not in reply:
            return reply
        code, text = _error(reply)
        if status >= 500:
            text = f"HTTP {status} from Meta: {code} {text}"
            raise GraphUnavailable(edge, phone_number_id, text, code=code, sort="number")
        raise GraphRefused(edge, phone_number_id, status, code, _advised(status, code, text), sort="number")

    async def connect(self, phone_number_id: str, user_key: str, sdp_offer: str, opaque: str) -> str:
        """Call a user, whose number (digits) or business-scoped id is `user_key`; returns Meta's call id.

        `opaque` comes back in every webhook of the call: a call whose reply was lost is found again by it. It is
        asked a second time only where the first certainly did not arrive, so that nobody is called twice.
        Raises GraphRefused or GraphUnavailable.
        """
        body: dict[str, Any] = {
            "messaging_product": "whatsapp",
            "to" if user_key.isdigit() else "recipient": user_key,
            "action": "connect",
            "session": {"sdp_type": "offer", "sdp": sdp_offer},
            "biz_opaque_callback_data": opaque,
        }
        try:
            reply = await self._post(phone_number_id, "connect", opaque, body)
        except GraphUnavailable as error:
            if error.taken:
                raise
            logger.warning("%s; trying once more", error)
            await asyncio.sleep(RETRY_AFTER)
            reply = await self._post(phone_number_id, "connect", opaque, body)
        calls = reply.get("calls")
        first = calls[0] if isinstance(calls, list) and calls else None
        call_id = first.get("id") if isinstance(first, dict) else None
        if not isinstance(call_id, str) or not call_id or len(call_id) > MAX_CALL_ID:
            raise GraphUnavailable("connect", opaque, "Meta's reply names no call")
        return call_id

    async def _post(self, phone_number_id: str, action: str, call_id: str, body: dict[str, Any]) -> dict[str, Any]:
        assert self._session is not None, "GraphClient is used outside its context"
        try:
            async with self._session.post(f"{self._base}/{phone_number_id}/calls", json=body) as response:
                status, reply = response.status, await _json(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = "no answer in time" if isinstance(error, TimeoutError) else str(error)
            taken = not isinstance(error, aiohttp.ClientConnectorError)
            raise GraphUnavailable(action, call_id, f"Meta cannot be reached: {reason}", taken=taken) from error
        if status < 300 and (action == "connect" or reply.get("success") is True):
            return reply
        code, text = _error(reply)
        if status >= 500:
            raise GraphUnavailable(action, call_id, f"HTTP {status} from Meta: {code} {text}", code=code)
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
