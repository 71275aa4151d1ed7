"""Messages that callers left."""

import asyncio
from datetime import datetime
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel, Field

from ari_app.console.access import AGENTS, EVERYBODY
from ari_app.console.api.operations import Ask, In, Operations, Out, Whole
from ari_app.console.api.problems import Part, Problem, not_found
from ari_app.console.keys import FOLDERS
from ari_app.console.reporting import message_groups
from ari_app.console.sounds import played, within
from ari_app.store.console.messages import Message, MessageStore

operations = Operations("Voicemails")


class Voicemail(Out):
    id: UUID
    number: str
    group: str | None
    seconds: float
    created_at: datetime
    heard_at: datetime | None
    linkedid: str
    channel_type: str
    caller_number: str
    caller_name: str


class VoicemailPage(Out):
    items: list[Voicemail]
    next: str | None = Field(..., description="`after` of the next page; null when there is none")


class VoicemailQuery(In):
    new: bool = Field(False, description="Only those that nobody has heard")
    group: str | None = Field(None, min_length=1, max_length=64)
    after: UUID | None = Field(None, description="`next` of the page before")
    limit: Whole = Field(50, ge=1, le=500)


class Heard(In):
    heard: bool


@operations.get(
    "/voicemails", roles=EVERYBODY, query=VoicemailQuery, answer=VoicemailPage, summary="Messages, newest first"
)
async def page(ask: Ask) -> BaseModel:
    wanted, store, groups = (
        ask.query(VoicemailQuery),
        MessageStore(ask.stores.database),
        await message_groups(ask.user, ask.stores.database),
    )
    after = None if wanted.after is None else await store.find(wanted.after, groups)
    if wanted.after is not None and after is None:
        errors = [Part(field="query/after", message="there is no such message (any more)")]
        raise Problem(422, "invalid", "The query is not as described.", errors=errors)
    found = await store.page(groups, unheard=wanted.new, group=wanted.group, after=after, limit=wanted.limit + 1)
    items = [Voicemail.model_validate(message) for message in found[: wanted.limit]]
    return VoicemailPage(items=items, next=str(items[-1].id) if len(found) > wanted.limit else None)


@operations.get("/voicemails/{id}/sound", roles=EVERYBODY, file="audio/wav", summary="One message, to listen to")
async def sound(ask: Ask) -> web.StreamResponse:
    message = await _message(ask)
    path = await asyncio.to_thread(within, ask.request.app[FOLDERS].voicemail_folder, message.file)
    if path is None:
        raise not_found("There is no such file (any more).")
    return played(path)


@operations.patch("/voicemails/{id}", roles=AGENTS, body=Heard, answer=Voicemail, summary="Mark as heard, or as new")
async def mark(ask: Ask) -> BaseModel:
    await MessageStore(ask.stores.database).mark(
        ask.id, await message_groups(ask.user, ask.stores.database), heard=ask.body(Heard).heard
    )
    return Voicemail.model_validate(await _message(ask))


async def _message(ask: Ask) -> Message:
    message = await MessageStore(ask.stores.database).find(ask.id, await message_groups(ask.user, ask.stores.database))
    if message is None:
        raise not_found()
    return message
