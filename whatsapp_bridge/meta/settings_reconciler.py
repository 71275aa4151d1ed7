"""Brings Meta's settings in line with the routes, and writes down what Meta has: the worker behind
`whatsapp.number_settings`.

Meta is asked when a wish changes, when somebody asks for it, when Meta says that settings were changed, and now and
then. A number without a route is only looked at. What could not be done is tried again: soon after 429, 5xx or a
time-out, seldom after a refusal, and at once when the wish has changed.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from whatsapp_bridge.meta import number_settings as settings
from whatsapp_bridge.meta.graph import GraphClient, GraphError, GraphRefused, GraphUnavailable
from whatsapp_bridge.meta.invitations import utc_now
from whatsapp_bridge.meta.permission_message import THROTTLED
from whatsapp_bridge.settings_store import REFUSED, NumberCase, SettingsStore

logger = logging.getLogger(__name__)

#: Pauses double from the first to the longest, s.
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 600.0
#: After a refusal, which the same wish would meet again.
REFUSED_PAUSE = timedelta(hours=1)


class _Failed(Exception):
    """This number cannot be brought in line now."""

    def __init__(self, code: int | None, text: str, *, soon: bool) -> None:
        super().__init__(text)
        self.code, self.text, self.soon = code, text, soon


class SettingsReconciler:
    """`work` is one round. `now` is a clock for tests."""

    def __init__(
        self,
        store: SettingsStore,
        graph: GraphClient,
        observe_every: timedelta,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store, self._graph, self._observe_every, self._now = store, graph, observe_every, now

    async def work(self) -> float | None:
        """Look at all numbers that are due. In how many seconds the next one is, None if there are no numbers."""
        for number in await self._store.due(self._now(), self._observe_every):
            async with self._store.reserved(number) as mine:
                if mine and (case := await self._store.case(number)) is not None:
                    await self._reconcile(case)
        due = await self._store.next_due(self._observe_every)
        return None if due is None else (due - self._now()).total_seconds()

    async def _reconcile(self, case: NumberCase) -> None:
        observed: dict[str, Any] | None = None
        drift: list[dict[str, Any]] = []
        try:
            observed = await self._read(case)
            if case.wanted is not None:
                case, observed, drift = await self._bring_in_line(case, case.wanted, observed)
        except _Failed as failure:
            await self._fail(case, failure, observed)
            return
        await self._store.settled(case, observed, drift, settings.restrictions_of(observed), self._now())
        if drift:
            names = ", ".join(each["field"] for each in drift)
            logger.warning("settings of number %s differ at Meta: %s", case.display_number, names)

    async def _bring_in_line(
        self, case: NumberCase, wanted: dict[str, Any], observed: dict[str, Any]
    ) -> tuple[NumberCase, dict[str, Any], list[dict[str, Any]]]:
        """The number, what Meta has, and the drift, after everything that could be done. Raises _Failed."""
        today = settings.today_of(wanted, self._now())
        applied = None
        if case.applied is not None and case.applied_at is not None:
            applied = case.applied, settings.today_of(case.applied, case.applied_at)
        plan = settings.plan(wanted, applied, observed, case.on_drift, today)
        if plan.apply:
            await self._apply(case, plan.apply)
            observed = await self._read(case)
        if plan.adopt:
            await self._adopt(case, plan.adopt)
            # The wish is now what Meta has.
            case = await self._store.case(case.phone_number_id) or case
            wanted = case.wanted or wanted
        # What still differs is shown, whatever the policy, so that a Meta that ignores us is not posted to for ever.
        return case, observed, settings.plan(wanted, (wanted, today), observed, "show", today).drift

    async def _read(self, case: NumberCase) -> dict[str, Any]:
        try:
            reply = await self._graph.of_number("GET", case.phone_number_id, "settings")
        except GraphError as error:
            raise _failed(error) from error
        if (calling := settings.readable(reply)) is None:
            # A number on which calling was never touched may have no such object.
            return {}
        return calling

    async def _apply(self, case: NumberCase, fields: dict[str, Any]) -> None:
        if wrong := settings.faults(fields):
            raise _Failed(None, f"not sent to Meta: {'; '.join(wrong)}", soon=False)
        try:
            await self._graph.of_number("POST", case.phone_number_id, "settings", body={"calling": fields})
        except GraphError as error:
            raise _failed(error) from error
        logger.info("settings of number %s posted to Meta: %s", case.display_number, ", ".join(fields))

    async def _adopt(self, case: NumberCase, fields: dict[str, Any]) -> None:
        if wrong := settings.faults(fields):
            raise _Failed(None, f"Meta's hours cannot be adopted: {'; '.join(wrong)}", soon=False)
        try:
            await self._store.adopt(case.phone_number_id, fields)
        except REFUSED as error:
            raise _Failed(None, f"Meta's settings cannot be adopted: {error}", soon=False) from error
        logger.info("settings of number %s adopted from Meta: %s", case.display_number, ", ".join(fields))

    async def _fail(self, case: NumberCase, failure: _Failed, observed: dict[str, Any] | None) -> None:
        if failure.text != case.error_text:  # said once, not with every try
            logger.error("settings of number %s: %s", case.display_number, failure.text)
        pause = REFUSED_PAUSE
        if failure.soon:
            pause = timedelta(seconds=min(FIRST_PAUSE * 2.0 ** min(case.failures, 20), LONGEST_PAUSE))
        now = self._now()
        await self._store.failed(case, failure.code, failure.text, now + pause, now, observed)


def _failed(error: GraphError) -> _Failed:
    match error:
        case GraphRefused():
            soon = error.status == 429 or error.code in THROTTLED
            return _Failed(error.code, error.meta_text, soon=soon)
        case GraphUnavailable():
            return _Failed(error.code or None, error.text, soon=True)
    return _Failed(None, error.text, soon=True)
