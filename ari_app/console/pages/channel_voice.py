"""Voice management of a number: what callers hear on entry, while they wait, and before they leave a message."""

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from ari_app.console import channel, choices, fields
from ari_app.console.access import ADMINISTRATORS, Routes
from ari_app.console.editing import STAMP, Saved, sentence
from ari_app.console.guard import form_of
from ari_app.console.keys import CONFIG
from ari_app.console.pages.prompts import UPLOAD_BYTES, audit_prompt, library
from ari_app.console.responses import see_other
from ari_app.media.prompts import LARGEST_MEGABYTES, PromptError
from ari_app.store.configuration.models import NumberEntry

routes = Routes()


@dataclass(frozen=True)
class Prompt:
    setting: str
    title: str
    text: str
    none: str = ""
    "What it is called when nothing is played; empty: something is played always."

    @property
    def default(self) -> str | None:
        found: str | None = NumberEntry.model_fields[self.setting].default
        return found


PROMPTS = (
    Prompt("entry_prompt", "Queue entry prompt", "Played once to a caller who comes in."),
    Prompt("waiting_prompt", "Queue waiting prompt", "Played again and again while a caller waits.", "only music"),
    Prompt("voicemail_prompt", "Voicemail prompt", "Played before a caller leaves a message."),
)


@routes.get("/channels/{number}/voice", roles=ADMINISTRATORS)
async def voice(request: web.Request) -> web.StreamResponse:
    found = await channel.find(request)
    if not found.has_route:
        raise web.HTTPNotFound
    return _show(request, found)


@routes.post("/channels/{number}/voice/{setting}", roles=ADMINISTRATORS, largest=UPLOAD_BYTES)
async def save_voice(request: web.Request) -> web.StreamResponse:
    """An upload becomes a prompt named after number and use; else one that is there is chosen, or the default."""
    found, form = await channel.find(request), form_of(request)
    prompt = next((prompt for prompt in PROMPTS if prompt.setting == request.match_info["setting"]), None)
    if prompt is None or not found.has_route:
        raise web.HTTPNotFound
    back = found.address("voice")
    if form.text("action") == "default":
        media = prompt.default or ""
    elif "file" in form.files:
        name = f"{found.number}-{prompt.setting.removesuffix('_prompt')}"
        try:
            made = await library(request).add(name, form.files["file"].file)
        except PromptError as error:
            return _show(request, found, Saved({prompt.setting: sentence(str(error))}))
        await audit_prompt(request, made)
        media = f"prompt:{name}"
        if media == found.entry[prompt.setting]:
            return see_other(request, back, f"{prompt.title}: the file is replaced, {made.seconds:.1f} s.")
    else:
        media = fields.media(form.text("media"), form.text("media__other"))
    saved = await channel.change(request, found, {prompt.setting: media}, form.text(STAMP))
    if not saved.ok:
        return _show(request, found, saved, {prompt.setting: media})
    return see_other(request, back, saved.note(prompt.title))


def _show(
    request: web.Request, found: channel.Channel, saved: Saved | None = None, typed: dict[str, Any] | None = None
) -> web.Response:
    return channel.show(
        request,
        found,
        "voice",
        saved,
        typed,
        prompts=[
            (
                prompt,
                found.entry[prompt.setting],
                choices.media(found.tree, found.entry[prompt.setting], none=prompt.none),
            )
            for prompt in PROMPTS
        ],
        label=choices.media_label,
        can_hear_asterisk=request.app[CONFIG].sounds_folder is not None,
        megabytes=LARGEST_MEGABYTES,
    )
