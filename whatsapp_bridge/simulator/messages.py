"""`POST /{phone-number-id}/messages`, as far as it asks for permission to call, and what users do about it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from . import account_payloads
from . import message_payloads as payloads
from .call import Call
from .config import NumberConfig
from .errors import GraphError
from .message_payloads import Reply
from .models import UserPlan
from .permissions import WEEK, Status
from .webhooks import WebhookOptions

if TYPE_CHECKING:
    from .business_number import BusinessNumber
    from .world import World

_log = logging.getLogger(__name__)
MAX_BODY_TEXT: Final = 1024
_KEPT: Final = 5_000
#: Longer than any test; calls end by themselves long before.
_WATCH: Final = 86_400.0
PLAIN: Final = WebhookOptions()


class Messages:
    """Takes requests for permission, lets users answer them, and keeps the permissions in step with calls."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.sent: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        "Every message that was taken, with what became of it."

    async def send(self, number: BusinessNumber, body: dict[str, Any]) -> dict[str, Any]:
        """The reply to the POST. Raises GraphError."""
        config, now = number.config, self._world.clock.now()
        if body.get("messaging_product") != "whatsapp":
            raise GraphError(100, "messaging_product has to be whatsapp")
        if body.get("recipient_type", "individual") != "individual":
            raise GraphError(100, "recipient_type has to be individual")
        plan = self._world.callee(body, unknown=131026)
        asks, template = self._content(body)
        number.may_dial_user(plan.number)
        if asks:
            self._world.permissions.check_request(config, plan.number, now)
        if not template and self._world.permissions.pair(config, plan.number, now).window_until <= now:
            raise GraphError(131047, "more than 24 hours have passed since the customer last replied: use a template")
        message_id = payloads.new_message_id(plan.number)
        entry = {"id": message_id, "number": config.phone_number_id, "user": plan.number, "at": now, "body": body}
        self.sent.append(entry | {"asks_permission": asks, "template": template})
        _log.info("message %s from %s to %s", message_id[-24:], config.display_number, plan.number)
        reaches = plan.callable and plan.on_request != "old_client"
        if asks and reaches:
            self._world.permissions.requested(config, plan.number, message_id, now)
        self._world.tasks.spawn(self._deliver(config, plan, message_id, asks, reaches))
        contact = {"input": body.get("to") or body.get("recipient"), "wa_id": plan.number}
        if plan.user_id is not None:
            contact["user_id"] = plan.user_id
        return {"messaging_product": "whatsapp", "contacts": [contact], "messages": [{"id": message_id}]}

    def answer(self, number: NumberConfig, plan: UserPlan, message_id: str, status: Status, **shape: Any) -> None:
        """The user answers a request. Raises LookupError for one that is dead."""
        now = self._world.clock.now()
        expires = self._world.permissions.answer(number, plan.number, message_id, status, now)
        reply = Reply(
            status != "no_permission",
            int(now),
            message_id,
            permanent=status == "permanent",
            expires_at=None if expires is None else int(expires),
            **shape,
        )
        self.tell(number, plan, reply)

    def profile(self, number: NumberConfig, plan: UserPlan, *, grants: bool, **shape: Any) -> None:
        """The user grants (permanently) or takes back in the business's profile."""
        now = self._world.clock.now()
        self._world.permissions.pair(number, plan.number, now).grant("permanent" if grants else "no_permission")
        self.tell(number, plan, Reply(grants, int(now), permanent=grants, **shape))

    def called(self, to: BusinessNumber, plan: UserPlan, call_id: str) -> None:
        """The user calls: the service window opens; with callback permission, a temporary one is granted."""
        number, now = to.config, self._world.clock.now()
        self._world.permissions.user_called(number, plan.number, now)
        pair = self._world.permissions.pair(number, plan.number, now)
        if to.settings.callback_enabled and pair.status in ("no_permission", "temporary"):
            pair.grant("temporary", now + WEEK)
            reply = Reply(True, int(now), call_id, expires_at=int(now + WEEK), source="automatic")
            self.tell(number, plan, reply)

    def write(self, number: NumberConfig, plan: UserPlan, text: str) -> None:
        """The user writes an ordinary message."""
        now = self._world.clock.now()
        self._world.permissions.user_called(number, plan.number, now)
        self._post(number, plan, "text", payloads.text_message(number, self._world.user(plan), text, int(now)))

    def tell(self, number: NumberConfig, plan: UserPlan, reply: Reply) -> None:
        """Posts a permission reply, whatever the permissions are."""
        value = payloads.permission_reply(number, self._world.user(plan), reply)
        self._post(number, plan, "call_permission_reply", value)

    def tell_settings(self, number: BusinessNumber) -> None:
        """Posts an `account_settings_update` with the settings as they are."""
        value = account_payloads.settings_update(number.config, number.settings.calling, int(self._world.clock.now()))
        self._post_account(number.config, "settings", value, "account_settings_update")

    def tell_account(self, number: NumberConfig, value: dict[str, Any]) -> None:
        """Posts an `account_update`."""
        self._post_account(number, "account_update", value, "account_update")

    async def watch(self, call: Call) -> None:
        """What a call does to permissions and limits, from its beginning to its outcome."""
        number, user, permissions = call.facts.number, call.facts.user.number, self._world.permissions
        outbound = call.facts.direction == "BUSINESS_INITIATED"
        if not await call.wait(lambda: call.state in ("connected", "ended"), _WATCH):
            return
        now = self._world.clock.now()
        if "accepted" in call.times:
            permissions.call_connected(number, user, now, outbound=outbound)
        elif outbound and permissions.call_unanswered(number, user, now):
            reply = Reply(False, int(now), source="automatic")
            self.tell(number, self._world.plan_of(user), reply)

    async def _deliver(self, number: NumberConfig, plan: UserPlan, message_id: str, asks: bool, reaches: bool) -> None:
        user = self._world.user(plan)

        def status(name: str, error: int | None = None) -> None:
            at = int(self._world.clock.now())
            value = payloads.message_status(number, user, message_id, name, at, error)
            self._post(number, plan, f"message_{name}", value)

        if not reaches:
            status("failed", 131026)
            return
        status("sent")
        status("delivered")
        person = self._world.phones.get(plan.number)
        if asks and person is not None:
            person.asked(number, message_id, self._text(message_id))
            return
        if not asks or plan.on_request == "ignore":
            return
        await asyncio.sleep(plan.on_request_ms / 1000)
        wanted: dict[str, Status] = {
            "accept": "temporary",
            "accept_permanent": "permanent",
            "decline": "no_permission",
        }
        try:
            self.answer(number, plan, message_id, wanted[plan.on_request])
        except LookupError as error:
            _log.info("user %s does not answer %s: %s", plan.number, message_id[-24:], error)

    def _post(self, number: NumberConfig, plan: UserPlan, event: str, value: dict[str, Any]) -> None:
        key = f"user {plan.number}"
        self._world.sender.send(key, number.waba_id, event, value, plan.webhooks, name="messages")

    def _text(self, message_id: str) -> str:
        """The words of a message that was sent, or its template's name."""
        body: dict[str, Any] = next((each["body"] for each in reversed(self.sent) if each["id"] == message_id), {})
        if body.get("type") == "template":
            return f"Template {body['template']['name']}"
        return str(body.get("interactive", {}).get("body", {}).get("text", ""))

    def _post_account(self, number: NumberConfig, event: str, value: dict[str, Any], name: str) -> None:
        self._world.sender.send(f"number {number.phone_number_id}", number.waba_id, event, value, PLAIN, name=name)

    def _content(self, body: dict[str, Any]) -> tuple[bool, bool]:
        """Whether it asks for permission, whether it is a template. Raises GraphError."""
        match body.get("type"):
            case "interactive":
                return self._interactive(body.get("interactive")), False
            case "template":
                return self._template(body.get("template")), True
            case other:
                raise GraphError(100, f"type {str(other)[:40]!r}: only interactive and template are simulated")

    def _interactive(self, content: Any) -> bool:
        if not isinstance(content, dict):
            raise GraphError(100, "interactive is missing or is not an object")
        kind = content.get("type")
        if kind != "call_permission_request":
            raise GraphError(131009, f"interactive.type {str(kind)[:40]!r} is not supported")
        action = content.get("action")
        if not isinstance(action, dict) or action.get("name") != "call_permission_request":
            raise GraphError(131009, "interactive.action.name has to be call_permission_request")
        for part in ("header", "footer"):
            if part in content:
                raise GraphError(131009, f"interactive.{part} is not allowed in a call_permission_request")
        if (text := content.get("body")) is not None:
            words = text.get("text") if isinstance(text, dict) else None
            if not isinstance(words, str) or not 1 <= len(words) <= MAX_BODY_TEXT:
                raise GraphError(131009, f"interactive.body.text has to be 1 to {MAX_BODY_TEXT} characters")
        return True

    def _template(self, content: Any) -> bool:
        language = content.get("language") if isinstance(content, dict) else None
        code = language.get("code") if isinstance(language, dict) else None
        if not isinstance(content, dict) or not isinstance(content.get("name"), str) or not isinstance(code, str):
            raise GraphError(100, "template needs name and language.code")
        for template in self._world.config.templates:
            if (template.name, template.language) == (content["name"], code):
                break
        else:
            raise GraphError(132001, f"template {content['name'][:60]!r} in {code[:10]!r}")
        components = content.get("components", [])
        given = sum(
            len(part.get("parameters", []))
            for part in (components if isinstance(components, list) else [])
            if isinstance(part, dict) and part.get("type") == "body"
        )
        if given != template.parameters:
            raise GraphError(132000, f"body: {given} parameters, {template.parameters} expected")
        return template.asks_permission
