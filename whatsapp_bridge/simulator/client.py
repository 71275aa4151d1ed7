"""A client of the control API, for tests and the demo."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp

from .media.faults import MediaFaults
from .models import (
    CallEvent,
    GraphFault,
    Injection,
    NumberState,
    PlaceCall,
    PressDigits,
    Release,
    UserPlan,
    Verification,
)
from .phone import Sound

JSON = dict[str, Any]


class SimulatorError(Exception):
    """The simulator refused or could not; `status` is HTTP's, `call` the call as it was, if it is about one."""

    def __init__(self, status: int, message: str, call: JSON | None = None) -> None:
        self.status = status
        self.call = call
        super().__init__(f"{status}: {message}")


class PhoneCall:
    """A call that a simulated user placed. `facts` is as last read."""

    def __init__(self, client: SimulatorClient, facts: JSON) -> None:
        self._client = client
        self.facts = facts

    @property
    def id(self) -> str:
        """The wacid."""
        return str(self.facts["id"])

    @property
    def state(self) -> str:
        """ringing, pre_accepted, connected or ended, as last read."""
        return str(self.facts["state"])

    async def read(self) -> JSON:
        """The call as it is now."""
        return await self._do("GET", "")

    async def wait(self, *, timeout: float = 10.0, **conditions: str | int | bool) -> JSON:
        """Waits for `state=`, `dtls=`, `packets_in=`, `audio=`, `dtmf=`, `played_out=`, `webhook=`, `recording=`,
        `closed=`. Raises SimulatorError 408 when `timeout` (s) is over, 409 when it cannot come any more."""
        query = "&".join(f"{key}={quote(str(value), safe='')}" for key, value in conditions.items())
        return await self._do("GET", f"/wait?timeout={timeout}&{query}")

    async def hang_up(self) -> JSON:
        """The user hangs up, in any state."""
        return await self._do("POST", "/hangup")

    async def cancel(self) -> JSON:
        """The user hangs up while it rings; 409 if it rings no more."""
        return await self._do("POST", "/cancel")

    async def press(self, digits: str, *, duration_ms: int = 120, gap_ms: int = 80) -> JSON:
        """Presses digits `0-9*#A-D`."""
        return await self._do(
            "POST", "/digits", PressDigits(digits=digits, duration_ms=duration_ms, gap_ms=gap_ms).model_dump()
        )

    async def play(self, sound: Sound) -> JSON:
        """Changes what the phone plays."""
        return await self._do("POST", "/play", sound.model_dump(mode="json"))

    async def disturb(self, faults: MediaFaults) -> JSON:
        """Loses, doubles, swaps or holds what the phone sends."""
        return await self._do("POST", "/media", faults.model_dump())

    async def tell(self, event: CallEvent) -> JSON:
        """Posts a webhook of this call with any event."""
        return await self._do("POST", "/webhook", event.model_dump())

    async def recording(self) -> bytes:
        """The WAV of what was heard so far, or altogether."""
        return await self._client.download(f"/control/calls/{quote(self.id, safe='')}/recording.wav")

    async def end(self, *, timeout: float = 20.0) -> JSON:
        """Hangs up if it is live, and waits until everything is written and delivered."""
        facts = await self.read()
        if facts["state"] != "ended":
            await self.hang_up()
        return await self.wait(closed=True, webhook="terminate", timeout=timeout)

    @property
    def recording_path(self) -> Path | None:
        """Where the recording is, once written."""
        path = self.facts["recording"]["path"]
        return None if path is None else Path(path)

    async def _do(self, method: str, path: str, body: JSON | None = None) -> JSON:
        facts: JSON = await self._client.request(method, f"/control/calls/{quote(self.id, safe='')}{path}", body)
        self.facts = facts
        return facts


class SimulatorClient:
    """`async with SimulatorClient("http://127.0.0.1:9000") as meta: call = await meta.place()`"""

    def __init__(self, base_url: str, *, timeout: float = 620.0) -> None:
        self._base = base_url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def status(self) -> JSON:
        """Numbers, webhook address, how many calls."""
        result: JSON = await self.request("GET", "/control")
        return result

    async def place(self, wanted: PlaceCall | None = None) -> PhoneCall:
        """A user calls; returns at once, while the webhook is on its way."""
        body = (wanted or PlaceCall()).model_dump(mode="json", by_alias=True)
        return PhoneCall(self, await self.request("POST", "/control/calls", body))

    async def plan_user(self, plan: UserPlan) -> None:
        """Says what a user does when the business calls."""
        await self.request("POST", "/control/users", plan.model_dump(mode="json"))

    async def call(self, call_id: str) -> PhoneCall:
        """A call by its id."""
        return PhoneCall(self, await self.request("GET", f"/control/calls/{quote(call_id, safe='')}"))

    async def calls(self) -> list[JSON]:
        """Short form of all calls."""
        result: list[JSON] = await self.request("GET", "/control/calls")
        return result

    async def requests(self, *, action: str | None = None, call_id: str | None = None) -> list[JSON]:
        """What the bridge asked of the Graph API, with the replies."""
        query = [f"{key}={quote(value, safe='')}" for key, value in (("action", action), ("call_id", call_id)) if value]
        result: list[JSON] = await self.request("GET", "/control/requests?" + "&".join(query))
        return result

    async def webhooks(self) -> list[JSON]:
        """Every webhook posted, with its attempts."""
        result: list[JSON] = await self.request("GET", "/control/webhooks")
        return result

    async def inject(self, injection: Injection) -> JSON:
        """Posts anything to the bridge's webhook; gives status and reply."""
        result: JSON = await self.request("POST", "/control/webhook", injection.model_dump())
        return result

    async def hold_webhooks(self) -> None:
        """Keeps all webhooks until `release_webhooks`."""
        await self.request("POST", "/control/webhooks/hold")

    async def release_webhooks(self, release: Release | None = None) -> JSON:
        """Posts all held webhooks as one POST."""
        result: JSON = await self.request("POST", "/control/webhooks/release", (release or Release()).model_dump())
        return result

    async def verify(self, verification: Verification | None = None) -> JSON:
        """The GET handshake with the bridge."""
        result: JSON = await self.request("POST", "/control/verify", (verification or Verification()).model_dump())
        return result

    async def fail(self, fault: GraphFault) -> None:
        """Arranges failing Graph replies."""
        await self.request("POST", "/control/faults", fault.model_dump())

    async def clear_faults(self) -> None:
        """All Graph replies are right again."""
        await self.request("DELETE", "/control/faults")

    async def set_number(self, phone_number_id: str, state: NumberState) -> JSON:
        """Switches of a business number."""
        path = f"/control/numbers/{quote(phone_number_id, safe='')}"
        result: JSON = await self.request("PATCH", path, state.model_dump(exclude_none=True))
        return result

    async def reset(self) -> None:
        """Forgets calls, requests, webhooks and faults."""
        await self.request("POST", "/control/reset")

    async def request(self, method: str, path: str, body: JSON | None = None) -> Any:
        """One request of the control API. Raises SimulatorError."""
        async with self._open().request(method, self._base + path, json=body) as reply:
            try:
                content = await reply.json()
            except ValueError:
                raise SimulatorError(reply.status, (await reply.text())[:200]) from None
            if reply.status >= 400:
                raise SimulatorError(reply.status, str(content.get("error")), content.get("call"))
            return content

    async def download(self, path: str) -> bytes:
        """A file of the control API. Raises SimulatorError."""
        async with self._open().get(self._base + path) as reply:
            if reply.status >= 400:
                raise SimulatorError(reply.status, (await reply.text())[:200])
            return await reply.read()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("use `async with SimulatorClient(...)`")
        return self._session
