"""The rest of ARI that we use: endpoints, device states, Stasis applications, Asterisk itself."""

import builtins
from collections.abc import Mapping

from ari_app.ari.connection import Connection
from ari_app.ari.models import ApplicationData, AsteriskInfo, DeviceStateData, EndpointData
from ari_app.ari.requests import segment


class Endpoints:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def list(self) -> builtins.list[EndpointData]:
        return [EndpointData.model_validate(item) for item in await self._connection.requests.get("/endpoints")]

    async def get(self, technology: str, resource: str) -> EndpointData:
        """Such as `PJSIP`, `1001`. Raises NotFound."""
        path = f"/endpoints/{segment(technology)}/{segment(resource)}"
        return EndpointData.model_validate(await self._connection.requests.get(path))


class DeviceStates:
    """States of devices; those named `Stasis:…` can be set."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def list(self) -> builtins.list[DeviceStateData]:
        """Only the devices that ARI controls."""
        return [DeviceStateData.model_validate(item) for item in await self._connection.requests.get("/deviceStates")]

    async def get(self, name: str) -> DeviceStateData:
        """A device that Asterisk does not know has the state INVALID or UNKNOWN."""
        return DeviceStateData.model_validate(await self._connection.requests.get(f"/deviceStates/{segment(name)}"))

    async def set(self, name: str, state: str) -> None:
        """Raises Conflict for a name outside of `Stasis:`."""
        await self._connection.requests.put(f"/deviceStates/{segment(name)}", deviceState=state)

    async def delete(self, name: str) -> None:
        """Raises NotFound, Conflict."""
        await self._connection.requests.delete(f"/deviceStates/{segment(name)}")


class Mailboxes:
    """Message counts that phones are told of. Asterisk needs res_mwi_external and res_ari_mailboxes for it, which
    Debian's has not: all methods raise NotFound then.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def update(self, name: str, *, old: int, new: int) -> None:
        """`name` as the endpoints' `mailboxes` have it (`team@office`)."""
        await self._connection.requests.put(f"/mailboxes/{segment(name)}", oldMessages=old, newMessages=new)


class Applications:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get(self, name: str | None = None) -> ApplicationData:
        """What an application (ours) is subscribed to. Raises NotFound."""
        path = f"/applications/{segment(name or self._connection.app)}"
        return ApplicationData.model_validate(await self._connection.requests.get(path))

    async def subscribe(self, *event_sources: str, name: str | None = None) -> ApplicationData:
        """Events of `channel:<id>`, `bridge:<id>`, `endpoint:<tech>/<resource>`, `deviceState:<name>` come to
        us.

        Raises NotFound (no such application), Unprocessable (no such source).
        """
        path = f"/applications/{segment(name or self._connection.app)}/subscription"
        return ApplicationData.model_validate(await self._connection.requests.post(path, eventSource=event_sources))

    async def unsubscribe(self, *event_sources: str, name: str | None = None) -> ApplicationData:
        """Raises NotFound, Conflict (not subscribed), Unprocessable."""
        path = f"/applications/{segment(name or self._connection.app)}/subscription"
        return ApplicationData.model_validate(await self._connection.requests.delete(path, eventSource=event_sources))


class Asterisk:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def info(self) -> AsteriskInfo:
        return AsteriskInfo.model_validate(await self._connection.requests.get("/asterisk/info"))

    async def ping(self) -> None:
        """Raises AriUnavailable when Asterisk does not answer."""
        await self._connection.requests.get("/asterisk/ping")

    async def get_variable(self, name: str) -> str:
        """A global variable or function; empty when it is not set."""
        answer = await self._connection.requests.get("/asterisk/variable", variable=name)
        return str(answer["value"])

    async def set_variable(self, name: str, value: str) -> None:
        await self._connection.requests.post("/asterisk/variable", variable=name, value=value)

    async def put_object(self, module: str, kind: str, name: str, fields: Mapping[str, str]) -> None:
        """Make an object of a module's configuration (`res_pjsip`, `endpoint`, …) while Asterisk runs.

        Only for kinds that sorcery.conf maps to something that can be written (`memory`); else Forbidden. An
        object that exists is changed; a field that may come several times (`contact`) gets another value.
        """
        body = {"fields": [{"attribute": attribute, "value": value} for attribute, value in fields.items()]}
        await self._connection.requests.put(_object(module, kind, name), body)

    async def delete_object(self, module: str, kind: str, name: str) -> None:
        """Raises NotFound, Forbidden (it comes from a file)."""
        await self._connection.requests.delete(_object(module, kind, name))


def _object(module: str, kind: str, name: str) -> str:
    return f"/asterisk/config/dynamic/{segment(module)}/{segment(kind)}/{segment(name)}"
