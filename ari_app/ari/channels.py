"""The channels of an Asterisk: making, finding, and reaching them by id."""

import builtins
from collections.abc import Mapping, Sequence

from ari_app.ari.channel import Channel
from ari_app.ari.connection import Connection
from ari_app.ari.ids import channel_id as new_channel_id
from ari_app.ari.models import ChannelData
from ari_app.ari.requests import Value
from ari_app.ari.subscriptions import Subscription


class Channels:
    """Channels of this Asterisk, by id."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def handle(self, channel_id: str, data: ChannelData | None = None) -> Channel:
        """A handle for a channel known by id; nothing is asked of Asterisk."""
        return Channel(self._connection, channel_id, data)

    async def create(
        self,
        *,
        endpoint: str,
        app: str | None = None,
        app_args: Sequence[str] = (),
        channel_id: str | None = None,
        other_channel_id: str | None = None,
        originator: str | None = None,
        formats: Sequence[str] | None = None,
        variables: Mapping[str, str] | None = None,
        events: Subscription | None = None,
    ) -> Channel:
        """Make a channel in our application, to be dialled after its StasisStart.

        The handle hears the channel's events from before the request was sent; with `events`, that
        subscription does instead. Raises Conflict (id taken), ServerError "Allocation failed" for an endpoint
        that cannot be reached at all: unknown, or registered by nobody. `formats` and `originator` exclude
        each other (BadRequest). `app_args` must not contain commas.
        """
        return await self._make(
            "/channels/create",
            channel_id or new_channel_id(),
            events,
            variables,
            endpoint=endpoint,
            app=app or self._connection.app,
            appArgs=app_args or None,
            otherChannelId=other_channel_id,
            originator=originator,
            formats=formats,
        )

    async def originate(
        self,
        *,
        endpoint: str,
        app: str | None = None,
        app_args: Sequence[str] = (),
        context: str | None = None,
        extension: str | None = None,
        priority: int | None = None,
        caller_id: str | None = None,
        timeout: int = 30,
        channel_id: str | None = None,
        other_channel_id: str | None = None,
        originator: str | None = None,
        formats: Sequence[str] | None = None,
        variables: Mapping[str, str] | None = None,
        events: Subscription | None = None,
    ) -> Channel:
        """Make and dial a channel; once answered it enters `app` (ours) or, with `extension`, the dialplan.

        `timeout`, in s, is Asterisk's. Otherwise as `create`.
        """
        in_dialplan = extension is not None
        return await self._make(
            "/channels",
            channel_id or new_channel_id(),
            events,
            variables,
            endpoint=endpoint,
            app=None if in_dialplan else app or self._connection.app,
            appArgs=app_args or None,
            context=context,
            extension=extension,
            priority=priority,
            callerId=caller_id,
            timeout=timeout,
            otherChannelId=other_channel_id,
            originator=originator,
            formats=formats,
        )

    async def _make(
        self,
        path: str,
        channel_id: str,
        events: Subscription | None,
        variables: Mapping[str, str] | None,
        **params: Value,
    ) -> Channel:
        router = self._connection.router
        subject = "channel:" + channel_id
        own = events is None
        if events is None:
            events = router.subscribe(subject)
        else:
            events.watch(subject)
        try:
            with router.pending(subject):
                body = {"variables": dict(variables)} if variables else None
                data = await self._connection.requests.post(path, body, channelId=channel_id, **params)
        except BaseException:
            if own:
                events.close()
            else:
                events.unwatch(subject)
            raise
        return Channel(self._connection, channel_id, ChannelData.model_validate(data), events if own else None)

    async def get(self, channel_id: str) -> Channel:
        """Raises NotFound."""
        channel = self.handle(channel_id)
        await channel.refresh()
        return channel

    async def list(self) -> builtins.list[Channel]:
        """All channels of this Asterisk, not only those in our application."""
        found = [ChannelData.model_validate(item) for item in await self._connection.requests.get("/channels")]
        return [self.handle(data.id, data) for data in found]

    async def dial(self, channel_id: str, timeout: int | None = None, *, caller: str | None = None) -> None:
        """As `Channel.dial`."""
        await self.handle(channel_id).dial(timeout=timeout, caller=caller)

    async def hangup(self, channel_id: str, *, reason_code: int | None = None, reason: str | None = None) -> None:
        """As `Channel.hangup`."""
        await self.handle(channel_id).hangup(reason_code=reason_code, reason=reason)

    async def get_variable(self, channel_id: str, name: str) -> str | None:
        """As `Channel.get_variable`."""
        return await self.handle(channel_id).get_variable(name)

    async def set_variable(self, channel_id: str, name: str, value: str) -> None:
        """As `Channel.set_variable`."""
        await self.handle(channel_id).set_variable(name, value)
