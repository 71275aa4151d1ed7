"""All operations, and how they become routes of the console."""

import json

from aiohttp import web

from ari_app.console.api.document import document
from ari_app.console.api.door import LIMIT, STRANGERS, WRONG_PER_MINUTE, guarded
from ari_app.console.api.limits import Buckets
from ari_app.console.api.operations import PREFIX, Operation
from ari_app.console.api.resources import calls, configuration, money, people, prompts, voicemails, webhooks, work

DOCUMENT = PREFIX + "/openapi.json"


def operations() -> list[Operation]:
    """In the order of the document."""
    subjects = (calls.operations, voicemails.operations, work.operations, *configuration.SECTIONS, prompts.operations)
    return [one for subject in (*subjects, money.operations, webhooks.operations, people.operations) for one in subject]


def add_to(app: web.Application, per_minute: int) -> None:
    """Route the API; each token may make so many requests a minute."""
    app[LIMIT] = Buckets(per_minute)
    app[STRANGERS] = Buckets(WRONG_PER_MINUTE)
    found = operations()
    for one in found:
        app.router.add_route(one.method, PREFIX + one.path, guarded(one))
    text = json.dumps(document(found))

    async def openapi(_: web.Request) -> web.Response:
        """For everybody: what there is is no secret."""
        return web.Response(text=text, content_type="application/json")

    app.router.add_route("GET", DOCUMENT, openapi)


def is_ours(request: web.Request) -> bool:
    """Whether a request is for the API: its errors are problem details."""
    return request.path.startswith(PREFIX + "/") and request.path != PREFIX + "/docs"
