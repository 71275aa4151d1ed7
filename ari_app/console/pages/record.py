"""One call record: all that is known of the call, step by step, with what can be heard of it."""

import asyncio
from pathlib import Path

from aiohttp import web

from ari_app.console.access import EVERYBODY, Routes
from ari_app.console.choices import place_label
from ari_app.console.keys import FOLDERS, STORES, WAVEFORMS
from ari_app.console.reporting import scope_of, zone_of
from ari_app.console.responses import page
from ari_app.console.session import user_of
from ari_app.console.sounds import played, within
from ari_app.store.record_steps import steps
from ari_app.store.records import Record, RecordStore

routes = Routes()


@routes.get("/reports/records/{linkedid}", roles=EVERYBODY)
async def show(request: web.Request) -> web.StreamResponse:
    record, waveforms = await _found(request), request.app[WAVEFORMS]
    return page(
        request,
        "records/show.html",
        record=record,
        steps=await steps(request.app[STORES].database, record),
        zone=zone_of(request),
        recording=await waveforms.of(await _recording(request, record)),
        voicemail=await waveforms.of(await _voicemail(request, record)),
        words=_words,
    )


@routes.get("/reports/records/{linkedid}/recording", roles=EVERYBODY)
async def recording(request: web.Request) -> web.StreamResponse:
    """The file that PostgreSQL names, if it lies in the recordings folder. Ranges are answered (RFC 9110, 14)."""
    return played(await _recording(request, await _found(request)))


@routes.get("/reports/records/{linkedid}/voicemail", roles=EVERYBODY)
async def voicemail(request: web.Request) -> web.StreamResponse:
    """Likewise of the voicemail folder."""
    return played(await _voicemail(request, await _found(request)))


async def _found(request: web.Request) -> Record:
    """Raises HTTPNotFound for what there is not, and for what is not the reader's to see."""
    store = RecordStore(request.app[STORES].database)
    record = await store.find(request.match_info["linkedid"], scope_of(user_of(request)))
    if record is None:
        raise web.HTTPNotFound
    return record


async def _recording(request: web.Request, record: Record) -> Path | None:
    folder, file = request.app[FOLDERS].recordings_folder, record.recording_file
    return None if file is None else await asyncio.to_thread(within, folder, file)


async def _voicemail(request: web.Request, record: Record) -> Path | None:
    folder, file = request.app[FOLDERS].voicemail_folder, record.voicemail_file
    return None if file is None else await asyncio.to_thread(within, folder, file)


def _words(step: str) -> str:
    """A step of the way through the PBX, as the application noted it."""
    kind, _, target = step.partition(":")
    match kind:
        case "digits" | "digit":
            return f"Pressed {target}"
        case "transfer":
            return f"Transferred to {target}"
        case "closed":
            return "Outside the business hours"
    return place_label(step)
