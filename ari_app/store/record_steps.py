"""One call's time line: what Meta, Asterisk and the application each wrote of it, in the order in which it happened."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg

from ari_app.store.database import Database
from ari_app.store.records import Record, reading

#: Further CDRs of one call (a conference, a dialplan gone round in circles) are not shown.
MOST_CDRS = 200

_CDRS = """
SELECT channel, dstchannel, lastapp, coalesce(start, calldate) AS start, disposition, duration, billsec
  FROM cdr.cdr WHERE linkedid = $1 AND channel NOT LIKE 'Snoop/%' ORDER BY start, sequence LIMIT $2
"""

_META = """
SELECT direction, received_at, pre_accepted_at, ringing_at, accepted_at, ended_at, ended_by, reason, hangup_cause,
       reports.cause_text(hangup_cause) AS cause_text, meta_status, meta_end, meta_duration, meta_error_code,
       meta_error_text
  FROM whatsapp.calls WHERE linkedid = $1 OR meta_call_id = $2 OR id = $3 ORDER BY received_at LIMIT 20
"""

_CALL = """
SELECT direction, received_at, queued_at, connected_at, ended_at, status, ended_by, reason, path, hold_seconds
  FROM pbx.calls WHERE id = $1
"""

_RECORDINGS = """
SELECT started_at, seconds::float8 AS seconds, deleted_at, fault
  FROM pbx.recordings WHERE call_id = $1 ORDER BY started_at
"""

_VOICEMAILS = """
SELECT created_at, seconds::float8 AS seconds, heard_at FROM pbx.voicemails WHERE call_id = $1 ORDER BY created_at
"""


@dataclass(frozen=True)
class Step:
    """Something that happened in a call."""

    at: datetime | None
    "None: it is known that it happened, not when (digits, menus); it stands behind what it came after."
    source: str
    "meta, application or asterisk"
    kind: str
    """For programs: received, pre_accepted, ringing, queued, path, offer, answered, hold, recording, voicemail, ended,
    error, cdr.
    """
    text: str
    "For people. Names in it may come from strangers."
    seconds: float | None = None
    "How long it lasted."


async def steps(database: Database, record: Record) -> list[Step]:
    """The time line of a record. Raises StoreError."""
    async with reading(database) as connection:
        meta = await connection.fetch(_META, record.linkedid, record.meta_call_id, record.call_id)
        call = await connection.fetchrow(_CALL, record.call_id)
        recordings = await connection.fetch(_RECORDINGS, record.call_id)
        voicemails = await connection.fetch(_VOICEMAILS, record.call_id)
        cdrs = await connection.fetch(_CDRS, record.linkedid, MOST_CDRS)
    found = [step for row in meta for step in _at_meta(row)]
    if call is not None:
        found += _in_application(record, call)
    found += [
        Step(row["started_at"], "application", "recording", _words_of_recording(row), row["seconds"])
        for row in recordings
    ]
    found += [
        Step(row["created_at"], "application", "voicemail", "A message was left", row["seconds"]) for row in voicemails
    ]
    found += [Step(row["start"], "asterisk", "cdr", _words_of_cdr(row), row["duration"]) for row in cdrs]
    return in_order(found)


def in_order(found: Iterable[Step]) -> list[Step]:
    """By time. A step without one follows the step before it; what happened in one moment keeps its order."""
    groups: list[tuple[datetime, list[Step]]] = [(datetime.min.replace(tzinfo=UTC), [])]
    for step in found:
        if step.at is None:
            groups[-1][1].append(step)
        else:
            groups.append((step.at, [step]))
    return [step for _, group in sorted(groups, key=lambda group: group[0]) for step in group]


def _at_meta(row: asyncpg.Record) -> Iterator[Step]:
    outbound = row["direction"] == "outbound"
    yield Step(
        row["received_at"], "meta", "received", "The PBX dials a WhatsApp user" if outbound else "A WhatsApp user calls"
    )
    for column, kind, words in (
        ("pre_accepted_at", "pre_accepted", "The media path to Meta is prepared"),
        ("ringing_at", "ringing", "The user's phone rings" if outbound else "The PBX rings"),
        ("accepted_at", "answered", "The user answers" if outbound else "The PBX answers"),
    ):
        if row[column] is not None:
            yield Step(row[column], "meta", kind, words)
    if row["ended_at"] is not None:
        who = {"user": "The user", "pbx": "The PBX", "system": "A failure"}[row["ended_by"] or "system"]
        cause = f" (cause {row['hangup_cause']}, {row['cause_text']})" if row["hangup_cause"] is not None else ""
        yield Step(row["ended_at"], "meta", "ended", f"{who} ends the call: {row['reason'] or 'no reason told'}{cause}")
    if row["meta_error_code"] is not None or row["meta_error_text"] is not None:
        code = "" if row["meta_error_code"] is None else f" {row['meta_error_code']}"
        yield Step(None, "meta", "error", f"Meta's error{code}: {row['meta_error_text'] or 'without words'}")
    if row["meta_status"] is not None:
        yield Step(
            row["meta_end"], "meta", "ended", f"Meta reports the end: {row['meta_status']}", row["meta_duration"]
        )


def _in_application(record: Record, row: asyncpg.Record) -> Iterator[Step]:
    outbound = row["direction"] == "outbound"
    path: list[str] = row["path"]
    before = [step for step in path if not step.startswith("transfer:")]
    words = "An agent asks for the call" if outbound else "The application takes the call"
    yield Step(row["received_at"], "application", "received", words)
    yield from (Step(None, "application", "path", step) for step in before)
    if row["queued_at"] is not None:
        yield Step(row["queued_at"], "application", "queued", "The caller begins to wait", record.queue_seconds)
    for offer in record.offers:
        group = f" for {offer.group}" if offer.group else ""
        text = f"{offer.agent}'s phone rings{group}: {offer.outcome or 'still ringing'}"
        yield Step(offer.started_at, "application", "offer", text, offer.ring_seconds)
    if row["connected_at"] is not None:
        text = f"User and {record.agent} are connected" if record.agent else "The call is connected"
        yield Step(row["connected_at"], "application", "answered", text, record.talk_seconds)
        if row["hold_seconds"]:
            yield Step(None, "application", "hold", "The agent's phone held the user", row["hold_seconds"])
    yield from (Step(None, "application", "path", step) for step in path if step not in before)
    if row["ended_at"] is not None:
        yield Step(row["ended_at"], "application", "ended", f"{row['status']}: {row['reason'] or 'no reason told'}")


def _words_of_recording(row: asyncpg.Record) -> str:
    if row["deleted_at"] is not None:
        return f"Recording begins; it was deleted on {row['deleted_at'].astimezone(UTC):%Y-%m-%d}"
    return f"Recording begins; {row['fault']}" if row["fault"] else "Recording begins"


def _words_of_cdr(row: asyncpg.Record) -> str:
    to = f" to {row['dstchannel']}" if row["dstchannel"] else ""
    return (
        f"{row['channel']}{to}: {row['disposition']}, {row['lastapp'] or 'no application'}, {row['billsec']} s answered"
    )
