"""Voicemail: messages of the reader's groups, to listen to, to mark as heard, to delete."""

import asyncio
import logging
from pathlib import Path
from urllib.parse import urlencode
from uuid import UUID

from aiohttp import web

from ari_app.console.access import AGENTS, EVERYBODY, NavItem, Routes
from ari_app.console.guard import form_of
from ari_app.console.keys import FOLDERS, STORES
from ari_app.console.reporting import LONGEST_TEXT, message_groups, zone_of
from ari_app.console.responses import page, see_other
from ari_app.console.session import actor_of, user_of
from ari_app.console.sounds import played, within
from ari_app.store.console.choices import ChoiceStore
from ari_app.store.console.messages import Groups, Message, MessageStore

logger = logging.getLogger(__name__)

routes = Routes()
NAVIGATION = (NavItem("Reports: Voice", "Voicemail", "/reports/voicemail", "voicemail"),)

PAGE = 50


@routes.get("/reports/voicemail", roles=EVERYBODY)
async def index(request: web.Request) -> web.StreamResponse:
    store, groups = _store(request), await _groups(request)
    query = request.query
    only_new, group = query.get("show") == "new", query.get("group", "").strip()[:LONGEST_TEXT].replace("\0", "")
    last = _id(query.get("after", ""))
    found = await store.page(
        groups,
        unheard=only_new,
        group=group or None,
        after=await store.find(last, groups) if last else None,
        limit=PAGE + 1,
    )
    choices = ChoiceStore(request.app[STORES].database)
    known = await choices.groups() if groups is None else groups
    here = {"show": "new" if only_new else "", "group": group}
    older = str(found[PAGE - 1].id) if len(found) > PAGE else ""
    return page(
        request,
        "messages/index.html",
        messages=found[:PAGE],
        unheard=await store.count_unheard(groups),
        only_new=only_new,
        group=group,
        groups=[("", "all groups"), *((name, name) for name in known)],
        older=older and urlencode({name: value for name, value in (here | {"after": older}).items() if value}),
        zone=zone_of(request),
        may_change=user_of(request).role in AGENTS,
    )


@routes.get("/reports/voicemail/{id}/sound", roles=EVERYBODY)
async def listen(request: web.Request) -> web.StreamResponse:
    return played(await _file(request, await _found(request)))


@routes.post("/reports/voicemail/{id}/heard", roles=AGENTS)
async def mark(request: web.Request) -> web.StreamResponse:
    """`heard`: yes, or no."""
    message, heard = await _found(request), form_of(request).text("heard") != "no"
    await _store(request).mark(message.id, await _groups(request), heard=heard)
    return see_other(request, "/reports/voicemail", "The message counts as heard." if heard else "It is new again.")


@routes.post("/reports/voicemail/{id}/delete", roles=AGENTS)
async def delete(request: web.Request) -> web.StreamResponse:
    message = await _found(request)
    file = await _file(request, message)
    if not await _store(request).delete(message, await _groups(request), actor_of(request)):
        raise web.HTTPNotFound
    note = "The message is deleted."
    if file is None:
        logger.warning("message %s is deleted; its file %s is not here", message.id, message.file)
    else:
        try:
            await asyncio.to_thread(file.unlink, missing_ok=True)
        except OSError as error:
            logger.error("message %s is deleted, its file %s is not: %s", message.id, file, error.strerror)
            note = "The message is out of the list; its file could not be deleted. The console's log says why."
    return see_other(request, "/reports/voicemail", note)


def _store(request: web.Request) -> MessageStore:
    return MessageStore(request.app[STORES].database)


async def _groups(request: web.Request) -> Groups:
    return await message_groups(user_of(request), request.app[STORES].database)


async def _found(request: web.Request) -> Message:
    message_id = _id(request.match_info["id"])
    message = await _store(request).find(message_id, await _groups(request)) if message_id else None
    if message is None:
        raise web.HTTPNotFound
    return message


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


async def _file(request: web.Request, message: Message) -> Path | None:
    return await asyncio.to_thread(within, request.app[FOLDERS].voicemail_folder, message.file)
