"""Prompts of our own: list, upload, listen, remove."""

import asyncio

from aiohttp import web
from pydantic import BaseModel

from ari_app.console.access import ADMINISTRATORS
from ari_app.console.api import reading
from ari_app.console.api.operations import Ask, Operations, Out
from ari_app.console.api.problems import not_found, refused
from ari_app.console.keys import FOLDERS
from ari_app.console.sounds import played, within
from ari_app.media.prompts import EXTENSION, LARGEST_MEGABYTES, PromptError, PromptFolder, PromptLibrary
from ari_app.store.console.audit import Entry
from ari_app.store.prompts import Prompt, PromptStore

operations = Operations("Prompts")

UPLOAD_BYTES = LARGEST_MEGABYTES * 1024 * 1024


class PromptOut(Out):
    name: str
    seconds: float
    spoken_text: str | None
    sha256: str


class Prompts(Out):
    items: list[PromptOut]


@operations.get("/prompts", roles=ADMINISTRATORS, answer=Prompts, summary="Prompts")
async def prompts(ask: Ask) -> BaseModel:
    return Prompts(items=[PromptOut.model_validate(one) for one in await _store(ask).all()])


@operations.put(
    "/prompts/{prompt}",
    roles=ADMINISTRATORS,
    upload=UPLOAD_BYTES,
    answer=PromptOut,
    summary="Upload a prompt: WAV, MP3, OGG or M4A",
)
async def upload(ask: Ask) -> BaseModel:
    name = ask.parts["prompt"]
    is_new = all(one.name != name for one in await _store(ask).all())
    async with reading.upload(ask.request, UPLOAD_BYTES) as file:
        try:
            prompt = await _library(ask).add(name, file)  # type: ignore[arg-type]
        except PromptError as error:
            raise refused(str(error)) from error
    after = {"seconds": round(prompt.seconds, 2), "sha256": prompt.sha256[:16]}
    await ask.stores.audit.add(ask.actor, Entry("saved", "prompt", name, None, after))
    ask.status = 201 if is_new else 200
    return PromptOut.model_validate(prompt)


@operations.get("/prompts/{prompt}/sound", roles=ADMINISTRATORS, file="audio/wav", summary="Listen to a prompt")
async def sound(ask: Ask) -> web.StreamResponse:
    prompt = await _found(ask)
    path = await asyncio.to_thread(within, ask.request.app[FOLDERS].prompts_folder, prompt.file + EXTENSION)
    if path is None:
        raise not_found("The prompt's file is gone.")
    return played(path)


@operations.delete("/prompts/{prompt}", roles=ADMINISTRATORS, summary="Remove a prompt that nothing uses")
async def remove(ask: Ask) -> None:
    known = await _found(ask)
    try:
        await _library(ask).remove(known.name)
    except PromptError as error:
        raise refused(str(error)) from error
    before = {"seconds": known.seconds, "text": known.spoken_text}
    await ask.stores.audit.add(ask.actor, Entry("removed", "prompt", known.name, before, None))


async def _found(ask: Ask) -> Prompt:
    for prompt in await _store(ask).all():
        if prompt.name == ask.parts["prompt"]:
            return prompt
    raise not_found()


def _store(ask: Ask) -> PromptStore:
    return PromptStore(ask.stores.database)


def _library(ask: Ask) -> PromptLibrary:
    return PromptLibrary(_store(ask), PromptFolder(ask.request.app[FOLDERS].prompts_folder))
