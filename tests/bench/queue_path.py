"""How fast callers and agents come together, on a real Asterisk with real phones.

from a reject to the next phone's INVITE            the phone that rejects sees the ACK, the other one the INVITE
from the agent's 200 OK to sound in both directions  until each phone plays the other's tone (60 ms of it is the
                                                     phones' own playout buffer, 20 to 40 the packets of 20 ms); from
                                                     when the phone has the ACK, which Asterisk sends at once
from the agent's key to the same                     with the 25 to 90 ms in which the phone opens its microphone,
                                                     before it sends the 200 OK
what else the caller hears after joining             everything but the agent's tone: music, prompts
"""

import asyncio
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import numpy as np

from ari_app.media.measure import tone_envelope, tone_spans
from ari_app.media.wav import Sound, read_wav, sine
from ari_app.runtime import sipp
from ari_app.runtime.phones import Baresip, SipAccount
from ari_app.runtime.sipp import SippPhone
from ari_app.runtime.stack import Stack, StackOptions

ROUNDS = 10
NUMBER = "901"
AGENT_HZ, CALLER_HZ = 440, 1000
PATIENCE = 20.0

#: A call that is answered at once could begin before the phone's log tells whose sound it is.
DIALPLAN = f"""
[phones]
exten => later,1,Wait(0.5)
 same => n,Goto({NUMBER},1)
"""

OPTIONS = StackOptions(bridge=False, simulator=False, extra_dialplan=DIALPLAN)

#: After this, from the first of the agent's tone on, the tone's own beginning is no disturbance, s.
SETTLED = 0.1

#: What else is heard counts from this part of the tone's level on: -20 dB.
LOUD = 0.1


@dataclass(frozen=True)
class Round:
    reject_to_invite_ms: float
    answer_to_sound_ms: float
    key_to_sound_ms: float
    disturbance_ms: float
    "The longest time after joining in which the caller hears something else beside the agent's tone."


async def prepare(stack: Stack) -> None:
    """A number whose calls ring 1001 first, which rejects, and then 1004."""
    database = await asyncpg.connect(stack.dsn)
    try:
        await database.execute(
            f"""
            UPDATE pbx.groups SET strategy = 'linear', wrap_up_seconds = 0, cool_down_seconds = 5;
            INSERT INTO pbx.routes (number, entry_prompt, recording) VALUES ('{NUMBER}', 'sound:beep', false)
                ON CONFLICT DO NOTHING;
            INSERT INTO pbx.route_groups VALUES ('{NUMBER}', 1, 'Agents') ON CONFLICT DO NOTHING;
            WITH agent AS (INSERT INTO pbx.agents (name, endpoint, voip_only) VALUES ('Second', 'PJSIP/1004', true)
                           ON CONFLICT DO NOTHING RETURNING id)
            INSERT INTO pbx.group_members SELECT 'Agents', id, 2 FROM agent
            """
        )
    finally:
        await database.close()


async def measure(stack: Stack, folder: Path, rounds: int) -> list[Round]:
    """Let calls be rejected by one phone and taken by another."""

    def account(user: str) -> SipAccount:
        return SipAccount(user, stack.asterisk.phones[user].password, port=stack.asterisk.sip_port)

    def tone(hertz: int) -> Sound:
        return sine(hertz, 30, 48_000, -20)

    closure = stack.closure
    async with (
        SippPhone.start(closure, folder / "1001", account("1001"), sipp.refuse(603, "Decline", after_ms=200)) as first,
        Baresip.start(closure, folder / "1004", account("1004"), microphone=tone(AGENT_HZ)) as second,
        Baresip.start(closure, folder / "1002", account("1002"), microphone=tone(CALLER_HZ)) as caller,
    ):
        return [await _round(first, second, caller) for _ in range(rounds)]


async def _round(first: SippPhone, second: Baresip, caller: Baresip) -> Round:
    made = await caller.dial("later")
    await first.saw("INVITE", timeout=PATIENCE)
    await first.saw("ACK", timeout=PATIENCE)
    rejected = time.time()
    taken = await second.ringing(timeout=PATIENCE)
    await asyncio.sleep(1)  # music
    pressed = time.time()
    answered = (await taken.answer()).at
    await asyncio.sleep(2)
    await made.hang_up()
    await made.closed()
    await taken.closed()
    caller_recorded, agent_recorded = made.recording, taken.recording
    there, heard = read_wav(agent_recorded.path), read_wav(caller_recorded.path)
    (agent_hears, _), *_ = tone_spans(there, CALLER_HZ, min_s=0.2)
    (caller_hears, until), *_ = tone_spans(heard, AGENT_HZ, min_s=0.2)
    both = max(agent_recorded.started_at + agent_hears, caller_recorded.started_at + caller_hears)
    return Round(
        1000 * (taken.began_at - rejected),
        1000 * (both - answered),
        1000 * (both - pressed),
        _disturbance(heard.part(caller_hears + SETTLED, until - SETTLED)),
    )


def _disturbance(sound: Sound) -> float:
    """The longest time in which what is not the agent's tone is louder than a tenth of it, ms."""
    tone, everything = tone_envelope(sound, AGENT_HZ)
    rest = np.sqrt(np.maximum(everything**2 - tone**2, 0.0))
    longest = current = 0
    for disturbed in rest > np.median(tone) * LOUD:
        current = current + 1 if disturbed else 0
        longest = max(longest, current)
    return 1000 * longest / sound.rate


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with Stack.start(OPTIONS) as stack:
            await prepare(stack)
            results = await measure(stack, Path(folder), ROUNDS)
    print(f"{ROUNDS} calls, rejected by one phone and taken by the next")
    for words, values, wanted in (
        ("reject to the next INVITE, ms", [r.reject_to_invite_ms for r in results], " (wanted: at most 300)"),
        ("200 OK to sound both ways, ms", [r.answer_to_sound_ms for r in results], " (wanted: at most 200)"),
        ("the agent's key to the same, ms", [r.key_to_sound_ms for r in results], ""),
    ):
        print(f"  {words}: median {statistics.median(values):.0f}, worst {max(values):.0f}{wanted}")
    worst = max(round_.disturbance_ms for round_ in results)
    print(f"  anything but the agent's tone after joining, ms: worst {worst:.0f} (a lost packet sounds for 20 to 60)")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
