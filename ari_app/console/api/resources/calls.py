"""Call records, their steps, and what was recorded of them."""

import asyncio
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel, Field, create_model

from ari_app.console.access import EVERYBODY
from ari_app.console.api.operations import Ask, In, Moment, Operations, Out, Whole
from ari_app.console.api.problems import Part, Problem, not_found
from ari_app.console.keys import FOLDERS
from ari_app.console.reporting import scope_of
from ari_app.console.sounds import played, within
from ari_app.store import record_steps
from ari_app.store.record_filters import CHANNEL_TYPES, DIRECTIONS, STATUSES, CursorError, Filters, Sort
from ari_app.store.records import LARGEST_PAGE, PAGE_SIZE, Record, RecordStore

operations = Operations("Calls")

#: Where files lie is nobody's business; what there is, is told by the seconds.
_HIDDEN = ("recording_file", "voicemail_file")
_HINTS = get_type_hints(Record, localns={"Decimal": Decimal, "UUID": UUID, "datetime": datetime})

_COLUMNS: dict[str, Any] = {name: (hint, ...) for name, hint in _HINTS.items() if name not in _HIDDEN}
CallRecord: type[Out] = create_model("CallRecord", __base__=Out, **_COLUMNS)


class CallStep(Out):
    at: datetime | None
    source: str
    kind: str
    text: str
    seconds: float | None


Order = Literal["-started_at", "started_at", "-wait_seconds", "wait_seconds", "-talk_seconds", "talk_seconds"]

#: A request line has 8190 bytes at most.
_Number = Annotated[str, Field(pattern="^[+]?[0-9]{1,15}$")]
_Group = Annotated[str, Field(min_length=1, max_length=64)]


class CallFilters(In):
    since: Moment | None = Field(None, description="Calls that began then or later")
    until: Moment | None = Field(None, description="Calls that began before")
    channel_type: Literal[CHANNEL_TYPES] | None = None  # type: ignore[valid-type]
    direction: Literal[DIRECTIONS] | None = None  # type: ignore[valid-type]
    status: list[Literal[STATUSES]] = Field(default_factory=list, max_length=9)  # type: ignore[valid-type]
    number: list[_Number] = Field(default_factory=list, max_length=20, description="Business numbers")
    group: list[_Group] = Field(default_factory=list, max_length=5)
    agent: list[UUID] = Field(default_factory=list, max_length=20)
    caller: str = Field("", max_length=128, description="How the user's number or name begins")
    sort: Order = Field("-started_at", description="With - the largest or newest first")
    limit: Whole = Field(PAGE_SIZE, ge=1, le=LARGEST_PAGE)
    cursor: str | None = Field(
        None, pattern="^[A-Za-z0-9_-]{1,500}$", description="`next` of the page before, with the same order"
    )


CallPage = create_model(
    "CallPage",
    __base__=Out,
    items=(list[CallRecord], ...),  # type: ignore[valid-type]
    next=(str | None, Field(..., description="Cursor of the next page; null when there is none")),
)


class CallSteps(Out):
    items: list[CallStep]


@operations.get("/calls", roles=EVERYBODY, query=CallFilters, answer=CallPage, summary="Call records, page by page")
async def page(ask: Ask) -> BaseModel:
    wanted = ask.query(CallFilters)
    filters = Filters(
        since=wanted.since,
        until=wanted.until,
        channel_type=wanted.channel_type,
        direction=wanted.direction,
        statuses=wanted.status,
        numbers=[number.removeprefix("+") for number in wanted.number],
        groups=wanted.group,
        agents=wanted.agent,
        caller=wanted.caller,
        scope=scope_of(ask.user),
    )
    try:
        found = await RecordStore(ask.stores.database).page(
            filters,
            sort=Sort(wanted.sort.removeprefix("-")),
            descending=wanted.sort.startswith("-"),
            cursor=wanted.cursor,
            size=wanted.limit,
        )
    except CursorError as error:
        errors = [Part(field="query/cursor", message=str(error))]
        raise Problem(422, "invalid", "The query is not as described.", errors=errors) from error
    return CallPage.model_validate({"items": [_shown(record) for record in found.records], "next": found.next})


@operations.get("/calls/{linkedid}", roles=EVERYBODY, answer=CallRecord, summary="One call record")
async def find(ask: Ask) -> BaseModel:
    return _shown(await _record(ask))


@operations.get("/calls/{linkedid}/steps", roles=EVERYBODY, answer=CallSteps, summary="What happened in a call")
async def steps(ask: Ask) -> BaseModel:
    found = await record_steps.steps(ask.stores.database, await _record(ask))
    return CallSteps(items=[CallStep.model_validate(step) for step in found])


@operations.get("/calls/{linkedid}/recording", roles=EVERYBODY, file="audio/wav", summary="A call's recording, stereo")
async def recording(ask: Ask) -> web.StreamResponse:
    record = await _record(ask)
    return await _file(ask.request.app[FOLDERS].recordings_folder, record.recording_file)


@operations.get("/calls/{linkedid}/voicemail", roles=EVERYBODY, file="audio/wav", summary="The message that was left")
async def voicemail(ask: Ask) -> web.StreamResponse:
    record = await _record(ask)
    return await _file(ask.request.app[FOLDERS].voicemail_folder, record.voicemail_file)


async def _record(ask: Ask) -> Record:
    record = await RecordStore(ask.stores.database).find(ask.parts["linkedid"], scope_of(ask.user))
    if record is None:
        raise not_found()
    return record


async def _file(folder: Path, name: str | None) -> web.StreamResponse:
    """Only from the folder, whatever the database says."""
    path = None if name is None else await asyncio.to_thread(within, folder, name)
    if path is None:
        raise not_found("There is no such file (any more).")
    return played(path)


def _shown(record: Record) -> BaseModel:
    return CallRecord.model_validate(record)
