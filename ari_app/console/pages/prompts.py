"""Prompts of our own: listen, upload, have spoken, remove. And the sounds of Asterisk, to listen to."""

import asyncio
from pathlib import Path

from aiohttp import web

from ari_app.console.access import ADMINISTRATORS, NavItem, Routes
from ari_app.console.editing import sentence
from ari_app.console.guard import form_of
from ari_app.console.keys import CONFIG, FOLDERS, STORES
from ari_app.console.responses import page, see_other
from ari_app.console.session import actor_of
from ari_app.console.sounds import find_sound, played, within
from ari_app.media.prompts import EXTENSION, LARGEST_MEGABYTES, NAME, PromptError, PromptFolder, PromptLibrary
from ari_app.store.console.audit import Entry
from ari_app.store.prompts import Prompt, PromptStore

routes = Routes()
NAVIGATION = (NavItem("Configuration", "Prompts", "/prompts", "prompt"),)

#: The file and the form around it.
UPLOAD_BYTES = (LARGEST_MEGABYTES + 1) * 1024 * 1024


@routes.get("/prompts", roles=ADMINISTRATORS)
async def index(request: web.Request) -> web.StreamResponse:
    return await _list(request)


@routes.post("/prompts/upload", roles=ADMINISTRATORS, largest=UPLOAD_BYTES)
async def upload(request: web.Request) -> web.StreamResponse:
    form = form_of(request)
    name = form.text("name").lower()
    if "file" not in form.files:
        return await _list(request, {"file": "Choose a file first."}, {"name": name})
    try:
        prompt = await library(request).add(name, form.files["file"].file)
    except PromptError as error:
        fault = sentence(str(error))
        return await _list(request, {"file" if NAME.fullmatch(name) else "name": fault}, {"name": name})
    await audit_prompt(request, prompt)
    return see_other(request, "/prompts", f"Prompt {name} is saved: {prompt.seconds:.1f} s.")


@routes.post("/prompts/speak", roles=ADMINISTRATORS)
async def speak(request: web.Request) -> web.StreamResponse:
    form = form_of(request)
    name, text, voice = form.text("spoken_name").lower(), form.text("text"), form.text("voice") or "en"
    try:
        prompt = await library(request).speak(name, text, voice)
    except PromptError as error:
        field = "text" if NAME.fullmatch(name) else "spoken_name"
        typed = {"spoken_name": name, "text": text, "voice": voice}
        return await _list(request, {field: sentence(str(error))}, typed)
    await audit_prompt(request, prompt)
    return see_other(request, "/prompts", f"Prompt {name} is saved: {prompt.seconds:.1f} s.")


@routes.post("/prompts/{name}/remove", roles=ADMINISTRATORS)
async def remove(request: web.Request) -> web.StreamResponse:
    name = request.match_info["name"]
    try:
        prompt = await library(request).remove(name)
    except PromptError as error:
        raise web.HTTPConflict(text=sentence(str(error))) from error
    await request.app[STORES].audit.add(
        actor_of(request),
        Entry("removed", "prompt", name, {"seconds": prompt.seconds, "text": prompt.spoken_text}, None),
    )
    return see_other(request, "/prompts", f"Prompt {name} is removed.")


@routes.get("/sounds/prompt/{name}", roles=ADMINISTRATORS)
async def listen(request: web.Request) -> web.StreamResponse:
    """The catalogue says which file; it is served only if it lies in the prompts folder."""
    name = request.match_info["name"]
    prompts = await PromptStore(request.app[STORES].database).all()
    file = next((prompt.file for prompt in prompts if prompt.name == name), None)
    if file is None:
        raise web.HTTPNotFound
    folder = request.app[FOLDERS].prompts_folder
    return played(await asyncio.to_thread(within, folder, file + EXTENSION))


@routes.get("/sounds/asterisk/{name:.+}", roles=ADMINISTRATORS)
async def listen_to_asterisk(request: web.Request) -> web.StreamResponse:
    folder: Path | None = request.app[CONFIG].sounds_folder
    if folder is None:
        raise web.HTTPNotFound
    return played(await asyncio.to_thread(find_sound, folder, request.match_info["name"]))


def library(request: web.Request) -> PromptLibrary:
    store = PromptStore(request.app[STORES].database)
    return PromptLibrary(store, PromptFolder(request.app[FOLDERS].prompts_folder))


async def audit_prompt(request: web.Request, prompt: Prompt) -> None:
    after = {"seconds": round(prompt.seconds, 2), "text": prompt.spoken_text, "sha256": prompt.sha256[:16]}
    await request.app[STORES].audit.add(actor_of(request), Entry("saved", "prompt", prompt.name, None, after))


async def _list(
    request: web.Request, invalid: dict[str, str] | None = None, values: dict[str, str] | None = None
) -> web.Response:
    store = PromptStore(request.app[STORES].database)
    prompts = await store.all()
    return page(
        request,
        "prompts/index.html",
        status=422 if invalid else 200,
        prompts=[(prompt, await store.uses(prompt.name)) for prompt in prompts],
        megabytes=LARGEST_MEGABYTES,
        invalid=invalid or {},
        values=values or {},
    )
