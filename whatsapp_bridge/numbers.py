"""What the bridge does for its numbers besides calls: permissions to call users, invitations, settings at Meta."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from whatsapp_bridge.config import Config
from whatsapp_bridge.meta.graph import GraphClient
from whatsapp_bridge.meta.invitations import Invitations, utc_now
from whatsapp_bridge.meta.number_events import AccountNotice, MessageFailed, PermissionReply, SettingsChanged
from whatsapp_bridge.meta.payloads import Event, ReceivedEvent
from whatsapp_bridge.meta.permission_checks import PermissionChecks
from whatsapp_bridge.meta.permission_message import Wording
from whatsapp_bridge.meta.settings_reconciler import SettingsReconciler
from whatsapp_bridge.notice_store import NoticeStore
from whatsapp_bridge.permission_store import PermissionStore
from whatsapp_bridge.reply_store import ReplyStore
from whatsapp_bridge.settings_store import SettingsStore
from whatsapp_bridge.store import Store
from whatsapp_bridge.wanted import Wanted, keep_working

#: How often workers look without being called, s.
SWEEP = 5.0


class Numbers:
    """`run` is all of its work; `add_event` takes the webhooks that are not about calls. `now` is a clock for tests."""

    def __init__(
        self,
        config: Config,
        store: Store,
        graph: GraphClient,
        now: Callable[[], datetime] = utc_now,
        sweep: float = SWEEP,
    ) -> None:
        self._meta, self._store, self._now = config.meta, store, now
        self._sweep = sweep
        self._replies = ReplyStore(store)
        permissions = PermissionStore(store)
        self._wanted = Wanted(config.postgres.dsn.get_secret_value())
        self._invitations = Invitations(permissions, graph, self._wording, now)
        self._checks = PermissionChecks(permissions, graph, now)
        settings = SettingsStore(store)
        self._notices = NoticeStore(store)
        self._settings = SettingsReconciler(settings, graph, timedelta(seconds=self._meta.settings_seconds), now)

    async def run(self) -> None:
        """Until cancelled; raises nothing."""
        wake = self._wanted.wake
        async with asyncio.TaskGroup() as group:
            group.create_task(keep_working("invitations", self._invitations.work, wake("request"), self._sweep))
            group.create_task(keep_working("permission checks", self._checks.work, wake("check"), self._sweep))
            group.create_task(keep_working("settings", self._settings.work, wake("settings"), self._sweep))
            group.create_task(self._wanted.run())

    async def add_event(self, received: ReceivedEvent) -> bool:
        """Store an event of any field, and with it what it says of permissions and settings; whether it was new.

        Raises StoreUnavailable.
        """
        if isinstance(received.event, PermissionReply | MessageFailed):
            return await self._replies.add_event(received, self._now())
        if isinstance(received.event, SettingsChanged | AccountNotice):
            return await self._notices.add_event(received, self._now())
        return await self._store.add_event(received)

    def handle(self, event: Event) -> None:
        """An event that is stored and new. What it says took effect with the storing."""

    def _wording(self, phone_number_id: str) -> Wording:
        own = self._meta.wording(phone_number_id)
        return Wording(own.permission_text, own.permission_template, own.permission_language)
