"""Calls of one day that are over, for the pages of reports; with files where there is something to hear."""

import math
import struct
import uuid
import wave
from dataclasses import dataclass
from pathlib import Path

from tests.integration.console.desk import Desk

DAYS = "since=2026-03-28&until=2026-03-30&zone=UTC"
COUNT = 120

#: One a minute from 10:00 UTC, summer time begins in Europe on that day; what they are goes round at different speeds.
#: Of every three two are Sales', taken by Ada or missed; the third is Support's, taken by Edsger.
CALLS = """
INSERT INTO pbx.calls (id, linkedid, channel_type, direction, number, caller_number, caller_name, state, status,
                       ended_by, reason, agent_id, received_at, queued_at, connected_at, ended_at, path)
SELECT lpad(to_hex(4096 + n), 32, '0')::uuid, 'past/' || n || '.1',
       CASE WHEN n % 4 = 0 THEN 'Voice' ELSE 'WhatsApp Call' END, 'inbound', '15550783881',
       '491511' || lpad(n::text, 4, '0'), CASE WHEN n % 5 = 0 THEN '<b>Zoë</b> ' || n ELSE 'Ada ' || n END, 'ended',
       CASE WHEN n % 3 = 1 THEN 'Missed' ELSE 'Answered' END, 'user', 'the caller hung up',
       (SELECT a.id FROM pbx.agents a WHERE a.endpoint = (ARRAY['PJSIP/1001', NULL, 'PJSIP/1003'])[n % 3 + 1]),
       at, at, CASE WHEN n % 3 = 1 THEN NULL ELSE at + n % 7 * interval '1 s' END,
       at + n * interval '1 s' + interval '9 s',
       ARRAY[CASE WHEN n % 3 = 2 THEN 'group:Support' ELSE 'group:Sales' END]
  FROM (SELECT n, timestamptz '2026-03-29 10:00Z' + n * interval '1 minute' AS at FROM generate_series(0, 119) n) s
"""

#: Of all but ten of them Asterisk wrote its CDR.
CDRS = """
INSERT INTO cdr.cdr (linkedid, uniqueid, calldate, start, answer, "end", channel, dstchannel, disposition, lastapp, dst,
                     duration, billsec, sequence)
SELECT linkedid, linkedid, received_at, received_at, connected_at, ended_at, 'Local/15550783881@whatsapp-in-00000001;2',
       CASE WHEN connected_at IS NOT NULL THEN 'PJSIP/1001-0000000a' ELSE '' END,
       CASE WHEN connected_at IS NULL THEN 'NO ANSWER' ELSE 'ANSWERED' END, 'Stasis', number,
       extract(epoch FROM ended_at - received_at), coalesce(extract(epoch FROM ended_at - connected_at), 0), 1
  FROM pbx.calls WHERE linkedid LIKE 'past/%' AND linkedid NOT LIKE '%9_.1'
"""

RECORDING = """
INSERT INTO pbx.recordings (id, call_id, file, seconds, started_at)
SELECT $1, id, $2, 2, connected_at FROM pbx.calls WHERE linkedid = $3
"""

VOICEMAIL = """
INSERT INTO pbx.voicemails (id, call_id, number, group_name, file, seconds, created_at)
SELECT $1, id, number, $2, $3, 2, ended_at FROM pbx.calls WHERE linkedid = $4
"""


@dataclass(frozen=True)
class History:
    desk: Desk
    recording: bytes
    "What the file of call 0 has."
    message: uuid.UUID
    "Left in call 1, for Sales."
    other_message: uuid.UUID
    "Left in call 4, for Support."


def linkedid(n: int) -> str:
    return f"past/{n}.1"


def address(n: int) -> str:
    return f"/reports/records/past%2F{n}.1"


def write_tone(path: Path, *, channels: int, seconds: float = 2.0, rate: int = 8000) -> bytes:
    """A tone that begins after half of the time; on the second of two channels, one that ends then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = int(seconds * rate)
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        for n in range(count):
            sample = round(16_000 * math.sin(n / 3))
            both = (sample if n >= count // 2 else 0, sample if n < count // 2 else 0)
            writer.writeframesraw(struct.pack(f"<{channels}h", *both[:channels]))
    return path.read_bytes()


async def write_history(desk: Desk) -> History:
    await desk.fetch(CALLS)
    await desk.fetch(CDRS)
    recording = write_tone(desk.folders.recordings_folder / "2026/past-0.wav", channels=2)
    await desk.fetch(RECORDING, uuid.uuid4(), "2026/past-0.wav", linkedid(0))
    messages = uuid.uuid4(), uuid.uuid4()
    for message, group, n in zip(messages, ("Sales", "Support"), (1, 4), strict=True):
        file = desk.folders.voicemail_folder / f"{message}.wav"
        write_tone(file, channels=1)
        await desk.fetch(VOICEMAIL, message, group, str(file), linkedid(n))
    while (await desk.fetch("SELECT reports.refresh() AS n"))[0]["n"]:
        pass
    return History(desk, recording, *messages)
