"""Webhooks: systems of the administrator that are told of call events; what they were told, and what was given up."""

from uuid import UUID

from aiohttp import web

from ari_app.console.access import ADMINISTRATORS, NavItem, Routes
from ari_app.console.forms import Form
from ari_app.console.guard import form_of
from ari_app.console.hooks import signing
from ari_app.console.hooks.addresses import fault_of
from ari_app.console.keys import CONFIG, STORES
from ari_app.console.responses import page, see_other
from ari_app.console.session import actor_of
from ari_app.store.console.webhooks import EVENTS, Webhook, WebhookSettings, WebhookStore

routes = Routes()
NAVIGATION = (NavItem("Programs", "Webhooks", "/webhooks", "out"),)

#: Deliveries on a page.
PAGE = 50

EVENT_OPTIONS = [
    ("call.received", "A call begins"),
    ("call.ringing", "A phone rings"),
    ("call.answered", "User and agent are connected"),
    ("call.ended", "A call is over, with its record"),
    ("voicemail.left", "A message was left"),
    ("permission.changed", "A user allows calls, or no longer"),
]


@routes.get("/webhooks", roles=ADMINISTRATORS)
async def index(request: web.Request) -> web.StreamResponse:
    return page(request, "webhooks/index.html", webhooks=await _store(request).all())


@routes.get("/webhooks/new", roles=ADMINISTRATORS)
async def new(request: web.Request) -> web.StreamResponse:
    return _form(request, None, WebhookSettings("", "", EVENTS), {})


@routes.post("/webhooks/new", roles=ADMINISTRATORS)
async def add(request: web.Request) -> web.StreamResponse:
    settings, faults = _wanted(request, form_of(request))
    if faults:
        return _form(request, None, settings, faults)
    webhook, secret = await _store(request).add(settings, actor_of(request))
    return page(request, "webhooks/secret.html", subject=webhook, secret=signing.shown(secret), is_new=True)


@routes.get("/webhooks/{id}", roles=ADMINISTRATORS)
async def show(request: web.Request) -> web.StreamResponse:
    """Settings, and the newest deliveries; `before` is the last one of the page before."""
    webhook, last = await _found(request), request.query.get("before", "")
    found = await _store(request).deliveries(
        webhook.id,
        before_id=int(last) if last.isascii() and last.isdigit() and len(last) < 19 else None,
        limit=PAGE + 1,
    )
    settings = WebhookSettings(webhook.name, webhook.url, webhook.events, webhook.enabled)
    older = found[PAGE - 1].id if len(found) > PAGE else None
    return _form(request, webhook, settings, {}, deliveries=found[:PAGE], older=older)


@routes.post("/webhooks/{id}", roles=ADMINISTRATORS)
async def change(request: web.Request) -> web.StreamResponse:
    webhook = await _found(request)
    settings, faults = _wanted(request, form_of(request))
    if faults:
        return _form(request, webhook, settings, faults)
    if await _store(request).change(webhook.id, settings, actor_of(request)) is None:
        raise web.HTTPNotFound
    return see_other(request, "/webhooks", f"{settings.name} is saved.")


@routes.post("/webhooks/{id}/secret", roles=ADMINISTRATORS)
async def new_secret(request: web.Request) -> web.StreamResponse:
    webhook = await _found(request)
    secret = await _store(request).new_secret(webhook.id, actor_of(request))
    if secret is None:
        raise web.HTTPNotFound
    return page(request, "webhooks/secret.html", subject=webhook, secret=signing.shown(secret), is_new=False)


@routes.post("/webhooks/{id}/remove", roles=ADMINISTRATORS)
async def remove(request: web.Request) -> web.StreamResponse:
    webhook = await _found(request)
    await _store(request).remove(webhook.id, actor_of(request))
    return see_other(request, "/webhooks", f"{webhook.name} is removed.")


@routes.post("/webhooks/{id}/replay", roles=ADMINISTRATORS)
async def replay(request: web.Request) -> web.StreamResponse:
    webhook, text = await _found(request), form_of(request).text("delivery")
    known = text.isascii() and text.isdigit() and len(text) < 19
    if not known or not await _store(request).again(webhook.id, int(text), actor_of(request)):
        return see_other(request, f"/webhooks/{webhook.id}", "This delivery is being made, or is there no longer.")
    return see_other(request, f"/webhooks/{webhook.id}", "It is sent again.")


def _wanted(request: web.Request, form: Form) -> tuple[WebhookSettings, dict[str, str]]:
    name, url = form.text("name"), form.text("url")
    events = tuple(event for event in EVENTS if event in form.all("events"))
    faults = {}
    if not (1 <= len(name) <= 64 and name.isprintable()):
        faults["name"] = "A name has 1 to 64 characters."
    if (fault := fault_of(url, request.app[CONFIG].webhook_networks)) is not None:
        faults["url"] = fault
    if not events:
        faults["events"] = "Choose what it is told of."
    return WebhookSettings(name, url, events, form.flag("enabled")), faults


def _form(
    request: web.Request, webhook: Webhook | None, settings: WebhookSettings, faults: dict[str, str], **more: object
) -> web.Response:
    return page(
        request,
        "webhooks/edit.html",
        status=422 if faults else 200,
        subject=webhook,
        settings=settings,
        event_options=EVENT_OPTIONS,
        invalid=faults,
        **({"deliveries": [], "older": None} | more),
    )


async def _found(request: web.Request) -> Webhook:
    try:
        webhook = await _store(request).find(UUID(request.match_info["id"]))
    except ValueError:
        webhook = None
    if webhook is None:
        raise web.HTTPNotFound
    return webhook


def _store(request: web.Request) -> WebhookStore:
    return WebhookStore(request.app[STORES].database)
