"""The demo: a WhatsApp user calls, a SIP phone rings, both talk, and all of it is proved by measurement."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from ari_app.media.speech import AGENT_WORDS, CALLER_WORDS, GREETING, sentence
from ari_app.media.wav import Sound, silence, write_wav
from ari_app.runtime.debian import Closure, ensure_closure
from ari_app.runtime.demo_proof import Listened, Outcome, Spoken, Timings, prove
from ari_app.runtime.demo_show import Show, table_of
from ari_app.runtime.errors import ProcessError
from ari_app.runtime.phones import PLAYOUT_MS, Baresip, PhoneCall, PhoneError, SipAccount
from ari_app.runtime.stack import Stack, StackOptions
from ari_app.store.records import finished_record
from whatsapp_bridge.simulator.client import PhoneCall as WhatsAppCall
from whatsapp_bridge.simulator.client import SimulatorClient, SimulatorError
from whatsapp_bridge.simulator.models import PlaceCall
from whatsapp_bridge.simulator.phone import Sound as Playable

CALLER_NUMBER = "16315553602"
CALLER_NAME = "Ada Example"
AGENT = "1001"
INTERRUPTED = 130

RING_LIMIT = 30.0
"""The entry prompt comes first."""
REACTION_S = 1.0
"""What a person takes to pick up, and to speak."""
BREATH_S = 0.4


@dataclass(frozen=True)
class Words:
    """What is said, in this order."""

    greeting: Sound
    caller: Sound
    agent: Sound


class DemoError(Exception):
    """The call did not go as it should; the message says where it stopped."""


def main(*, as_json: bool, console: Console) -> int:
    """Run the demo; 0 if everything was proved, 1 with the reason if not. Raises UnavailableError."""
    closure = ensure_closure(console)  # before there is an event loop: Ctrl-C ends a download at once
    return asyncio.run(run(as_json, closure=closure, console=console))


async def run(json_output: bool, *, closure: Closure | None = None, console: Console | None = None) -> int:
    """Set everything up, make the call, show and prove it, clean up. The exit status.

    With `json_output` the last line on stdout is the result as JSON and all else goes to stderr.
    """
    shown = (console or Console(stderr=True, highlight=False)) if json_output else Console(highlight=False)
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    outcome: Outcome | None = None
    try:
        with shown.status("Starting …") as status:
            async with Stack.start(StackOptions(), closure, status.update) as stack:
                status.stop()
                try:
                    outcome = await _make_the_call(stack, shown)
                    failures = outcome.complaints()
                except (DemoError, PhoneError, SimulatorError, ProcessError, TimeoutError) as error:
                    dead = [each for each in (stack.simulator, stack.bridge, stack.app) if not each.running]
                    failures = [each.complaint() for each in dead] or [str(error) or type(error).__name__]
                kept = await asyncio.to_thread(_keep, stack.folder) if failures else stack.folder
                failures = [failure.replace(str(stack.folder), str(kept)) for failure in failures]
    except asyncio.CancelledError:
        return INTERRUPTED
    if outcome is not None:
        _print(outcome, shown)
    for failure in failures:
        shown.print(Text(f"The demo failed: {failure}", style="red"), soft_wrap=True)
    if failures:
        shown.print(f"Logs and recordings are in {kept}", soft_wrap=True)
    else:
        shown.print("\n[green]Both heard each other, and the record says so.[/]")
    if json_output:
        result = ({} if outcome is None else outcome.as_json()) | ({"failures": failures} if failures else {})
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()
    return 1 if failures else 0


async def _make_the_call(stack: Stack, console: Console) -> Outcome:
    sounds = stack.closure.asterisk_data / "sounds/en"
    words = Words(sentence(sounds, GREETING), sentence(sounds, CALLER_WORDS), sentence(sounds, AGENT_WORDS))
    account = SipAccount(AGENT, stack.asterisk.phones[AGENT].password, port=stack.asterisk.sip_port)
    phone = Baresip.start(stack.closure, stack.folder / "agent", account)
    async with phone as agent, SimulatorClient(stack.simulator_url) as meta:
        with Show(console) as show:
            caller, desk = await _until_both_talk(agent, meta, stack, show)
            by_agent, by_caller = await _conversation(agent, caller, words, stack.folder, show)
            show.happened("The caller hangs up", caller="on hook")
            facts = await caller.end()
            closed = await desk.closed(timeout=5)
            late = (closed.at - facts["times"]["ended"]) * 1000
            show.happened(f"The agent's phone shows the end of the call after {late:.0f} ms", agent="on hook")
            record = await _record(stack, caller.id)
            show.happened("PostgreSQL has the record")
        if facts["recording"].get("state") != "written":
            raise DemoError(f"the caller's recording is {facts['recording'].get('state')}")
        heard_by_caller = Listened(
            Path(facts["recording"]["path"]), facts["recording"]["started_at"], facts["recording"]["playout_ms"]
        )
        heard_by_agent = Listened(desk.recording.path, desk.recording.started_at, PLAYOUT_MS)
        return Outcome(
            record,
            await asyncio.to_thread(prove, by_agent, heard_by_caller),
            await asyncio.to_thread(prove, by_caller, heard_by_agent),
            _timings(facts, desk),
            {
                "channel_type": "WhatsApp Call",
                "direction": "inbound",
                "status": "Answered",
                "agent": f"Agent {AGENT}",
                "user_name": CALLER_NAME,
                "ended_by": "user",
            },
        )


async def _until_both_talk(
    agent: Baresip, meta: SimulatorClient, stack: Stack, show: Show
) -> tuple[WhatsAppCall, PhoneCall]:
    """The caller calls, hears the entry prompt, the agent's phone rings and is answered."""
    placed = PlaceCall(from_=CALLER_NUMBER, name=CALLER_NAME, play=Playable(silence=True))
    caller = await meta.place(placed)
    show.happened(
        f"{CALLER_NAME} (+{CALLER_NUMBER}) calls +{stack.number.display_number} on WhatsApp",
        caller="calls",
        agent="phone is quiet",
    )
    facts = await caller.wait(state="connected", timeout=RING_LIMIT)
    took = (facts["times"]["accepted"] - facts["times"]["placed"]) * 1000
    show.happened(f"The business has accepted, {took:.0f} ms after the call", caller="is connected")
    await caller.wait(audio=True, timeout=RING_LIMIT)
    show.happened("The caller hears the queue entry prompt", caller="hears the prompt, then music")
    desk = await agent.ringing(timeout=RING_LIMIT)
    shown = f"{desk.peer_name} <{desk.peer_number}>"
    show.happened(f"The agent's phone {AGENT} rings and shows: {shown}", agent="phone rings")
    if (desk.peer_name, desk.peer_number.removeprefix("+")) != (CALLER_NAME, CALLER_NUMBER):
        raise DemoError(f"the agent's phone shows {shown}, not {CALLER_NAME} <{CALLER_NUMBER}>")
    await asyncio.sleep(REACTION_S)  # a person looks at the display and picks up
    await desk.answer()
    show.happened("The agent answers", caller="listens", agent="in a call")
    return caller, desk


async def _conversation(
    agent: Baresip, caller: WhatsAppCall, words: Words, folder: Path, show: Show
) -> tuple[Spoken, Spoken]:
    """Both speak, one after the other; what the agent and what the caller said."""
    await asyncio.sleep(BREATH_S)
    await agent.say(words.greeting)
    show.happened("The agent says: Hello.", caller="listens", agent="talks")
    await asyncio.sleep(words.greeting.duration_s + BREATH_S)

    file = folder / "caller.wav"
    lead = silence(BREATH_S, words.caller.rate)
    await asyncio.to_thread(write_wav, file, lead + words.caller)
    facts = await caller.play(Playable(wav=file, loop=False))
    show.happened("The caller says: Weasels have eaten our phone system.", caller="talks", agent="listens")
    facts = await caller.wait(played_out=True, timeout=lead.duration_s + words.caller.duration_s + 5)
    by_caller = Spoken(words.caller, facts["phone"]["playing_since"] + lead.duration_s)

    await asyncio.sleep(BREATH_S)
    by_agent = Spoken(words.agent, await agent.say(words.agent))
    show.happened("The agent says: I'm sorry. Please try your call again later.", caller="listens", agent="talks")
    await asyncio.sleep(words.agent.duration_s + REACTION_S)
    return by_agent, by_caller


async def _record(stack: Stack, call_id: str) -> dict[str, Any]:
    try:
        return await finished_record(stack.dsn, call_id)
    except TimeoutError:
        raise DemoError("reports.call_records did not get a finished record of the call within 10 s") from None


def _timings(facts: dict[str, Any], desk: PhoneCall) -> Timings:
    try:
        return Timings.of(facts, desk.began_at)
    except ValueError as error:
        raise DemoError(str(error)) from None


def _print(outcome: Outcome, console: Console) -> None:
    timings = outcome.timings
    audio = [
        ("Caller's words at the agent", outcome.agent_heard_caller.describe()),
        ("Agent's words at the caller", outcome.caller_heard_agent.describe()),
        ("Webhook to pre_accept", f"{timings.webhook_to_pre_accept} ms"),
        ("Webhook to the agent's phone ringing", f"{timings.webhook_to_agent_ringing} ms"),
        ("Accept to the first sound at the caller", f"{timings.accept_to_first_audio} ms"),
    ]
    table_of("Measured", audio, console)
    told = [(column, value) for column, value in outcome.record.items() if value is not None]
    table_of("reports.call_records", told, console)


def _keep(folder: Path) -> Path:
    """Copy what tells of a failure out of the run folder, which is about to be removed."""
    kept = Path(tempfile.mkdtemp(prefix="asterisk-whatsapp-demo-"))
    for part in ("logs", "recordings", "agent"):
        if (folder / part).is_dir():
            shutil.copytree(folder / part, kept / part, ignore=shutil.ignore_patterns("microphone*.wav"))
    return kept
