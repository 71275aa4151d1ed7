"""Systems that are told of call events, and what they were told."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from ari_app.console.access import ADMINISTRATORS
from ari_app.console.api.operations import Ask, In, Operations, Out, Whole
from ari_app.console.api.problems import Part, not_found, refused
from ari_app.console.hooks import signing
from ari_app.console.hooks.addresses import LONGEST, fault_of
from ari_app.console.keys import CONFIG
from ari_app.store.console.webhooks import EVENTS, Webhook, WebhookSettings, WebhookStore

operations = Operations("Webhooks")

Event = Literal[EVENTS]  # type: ignore[valid-type]


class WebhookOut(Out):
    id: UUID
    name: str
    url: str
    events: tuple[str, ...]
    enabled: bool
    created_at: datetime
    pending: int = Field(description="Deliveries that are to be made")
    dead: int = Field(description="Deliveries that were given up")


class WebhookMade(WebhookOut):
    secret: str = Field(description="Shown now and never again")


class Webhooks(Out):
    items: list[WebhookOut]


class NewWebhook(In):
    name: str = Field(min_length=1, max_length=64)
    url: str = Field(min_length=1, max_length=LONGEST)
    events: list[Event] = Field(min_length=1, max_length=len(EVENTS))
    enabled: bool = True


class WebhookChanges(In):
    name: str | None = Field(None, min_length=1, max_length=64)
    url: str | None = Field(None, min_length=1, max_length=LONGEST)
    events: list[Event] | None = Field(None, min_length=1, max_length=len(EVENTS))
    enabled: bool | None = None


class DeliveryOut(Out):
    id: str
    event: str
    event_id: UUID = Field(description="`webhook-id`")
    at: datetime
    state: str
    attempts: int
    due_at: datetime
    ended_at: datetime | None
    status: int | None
    fault: str | None
    body: str = Field(description="As it is sent; before the first attempt what it is made of")


class Deliveries(Out):
    items: list[DeliveryOut]
    next: int | None


class DeliveryQuery(In):
    state: Literal["pending", "delivered", "dead"] | None = None
    limit: Whole = Field(50, ge=1, le=200)
    cursor: Whole | None = Field(None, ge=1, lt=2**63, description="`next` of the page before")


@operations.get("/webhooks", roles=ADMINISTRATORS, answer=Webhooks, summary="Systems that are told of call events")
async def webhooks(ask: Ask) -> BaseModel:
    return Webhooks(items=[WebhookOut.model_validate(one) for one in await _store(ask).all()])


@operations.post("/webhooks", roles=ADMINISTRATORS, body=NewWebhook, answer=WebhookMade, summary="Add a system")
async def add(ask: Ask) -> BaseModel:
    wanted = ask.body(NewWebhook)
    settings = _checked(ask, wanted.name, wanted.url, tuple(wanted.events), wanted.enabled)
    webhook, secret = await _store(ask).add(settings, ask.actor)
    return WebhookMade(secret=signing.shown(secret), **WebhookOut.model_validate(webhook).model_dump())


@operations.get("/webhooks/{id}", roles=ADMINISTRATORS, answer=WebhookOut, summary="One system")
async def find(ask: Ask) -> BaseModel:
    return WebhookOut.model_validate(await _found(ask))


@operations.patch("/webhooks/{id}", roles=ADMINISTRATORS, body=WebhookChanges, answer=WebhookOut, summary="Change one")
async def change(ask: Ask) -> BaseModel:
    known, wanted = await _found(ask), ask.body(WebhookChanges)
    settings = _checked(
        ask,
        wanted.name or known.name,
        wanted.url or known.url,
        tuple(wanted.events or known.events),
        known.enabled if wanted.enabled is None else wanted.enabled,
    )
    changed = await _store(ask).change(known.id, settings, ask.actor)
    if changed is None:
        raise not_found()
    return WebhookOut.model_validate(changed)


@operations.delete("/webhooks/{id}", roles=ADMINISTRATORS, summary="Remove a system, with all that it was to be told")
async def remove(ask: Ask) -> None:
    if not await _store(ask).remove(ask.id, ask.actor):
        raise not_found()


@operations.get(
    "/webhooks/{id}/deliveries",
    roles=ADMINISTRATORS,
    query=DeliveryQuery,
    answer=Deliveries,
    summary="What it was told",
)
async def deliveries(ask: Ask) -> BaseModel:
    known, wanted = await _found(ask), ask.query(DeliveryQuery)
    found = await _store(ask).deliveries(known.id, state=wanted.state, before_id=wanted.cursor, limit=wanted.limit + 1)
    items = [DeliveryOut.model_validate(vars(one) | {"id": str(one.id)}) for one in found[: wanted.limit]]
    return Deliveries(items=items, next=found[wanted.limit - 1].id if len(found) > wanted.limit else None)


@operations.post(
    "/webhooks/{id}/deliveries/{delivery}/replay", roles=ADMINISTRATORS, status=204, summary="Send it again"
)
async def replay(ask: Ask) -> None:
    if not await _store(ask).again(ask.id, int(ask.parts["delivery"]), ask.actor):
        raise not_found("There is no such delivery, or it is still to be made.")


def _checked(ask: Ask, name: str, url: str, events: tuple[str, ...], enabled: bool) -> WebhookSettings:
    """Raises Problem."""
    if not name.isprintable():
        raise refused("A name has no control characters.", [Part(field="body/name", message="not printable")])
    if (fault := fault_of(url, ask.request.app[CONFIG].webhook_networks)) is not None:
        raise refused(fault, [Part(field="body/url", message=fault)])
    return WebhookSettings(name, url, tuple(dict.fromkeys(events)), enabled)


async def _found(ask: Ask) -> Webhook:
    webhook = await _store(ask).find(ask.id)
    if webhook is None:
        raise not_found()
    return webhook


def _store(ask: Ask) -> WebhookStore:
    return WebhookStore(ask.stores.database)
