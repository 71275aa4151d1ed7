"""How long a WhatsApp user's phone takes to ring, and to be heard: `make bench`.

Everything is on this machine, and the simulated Meta answers and rings at once, so what is measured is Asterisk and the
bridge. The clock starts when the PBX is told to dial; both ends read the same clock.
"""

import argparse
import asyncio
import statistics
import sys
import time
import uuid
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from ari_app.ari import AriClient
from ari_app.runtime.stack import Stack, StackOptions
from whatsapp_bridge.simulator.client import PhoneCall, SimulatorClient
from whatsapp_bridge.simulator.models import UserPlan
from whatsapp_bridge.simulator.phone import Sound, Tone

DIALPLAN = """
[out]
exten => _X.,1,Dial(WebSocket/whatsapp/c(opus)nf(json)v(to=${EXTEN},call=${CALL}),30,r)

[agent]
exten => echo,1,Answer()
 same => n,Echo()
"""
USER = "4915112345678"
PATIENCE = 20.0
#: Budgets, ms: dialled to ringing, and ACCEPTED to voice in both directions.
RINGS_WITHIN, TALKS_WITHIN = 400.0, 200.0


@dataclass(frozen=True)
class Sample:
    """One call, in ms."""

    rings: float
    heard: float
    "ACCEPTED to the first packet that the user's phone gets"
    both: float
    "ACCEPTED to the user's own voice coming back from the PBX: both directions"


async def one(ari: AriClient, meta: SimulatorClient) -> Sample:
    call = str(uuid.uuid4())
    dialled = time.time()
    with await ari.channels.originate(
        endpoint=f"Local/{USER}@out/n", context="agent", extension="echo", priority=1, variables={"CALL": call}
    ) as agent:
        phone = await placed(meta, call)
        await phone.wait(audio=True, timeout=PATIENCE)
        # Silence of the bridge is all that comes before the echo.
        facts = await phone.wait(voice=True, timeout=PATIENCE)
        await agent.hangup()
    await phone.wait(closed=True, timeout=PATIENCE)
    times = facts["times"]
    return Sample(
        (times["ringing"] - dialled) * 1000,
        (times["first_audio"] - times["accepted"]) * 1000,
        (times["first_voice"] - times["accepted"]) * 1000,
    )


async def placed(meta: SimulatorClient, call: str) -> PhoneCall:
    async with asyncio.timeout(PATIENCE):
        while True:
            for known in await meta.calls():
                phone = await meta.call(known["id"])
                if phone.facts["biz_opaque_callback_data"] == call:
                    return phone
            await asyncio.sleep(0.005)


async def bench(calls: int) -> list[Sample]:
    async with Stack.start(StackOptions(app=False, extra_dialplan=DIALPLAN)) as stack:
        asterisk = stack.asterisk
        async with (
            AriClient(asterisk.ari_url, "asterisk-whatsapp", asterisk.ari_password, "the-bench") as ari,
            SimulatorClient(stack.simulator_url) as meta,
        ):
            plan = UserPlan(
                number=USER, connect_ms=0, ringing_ms=0, answer_ms=300, play=Sound(tone=Tone(hz=1000)), record=False
            )
            await meta.plan_user(plan)
            await one(ari, meta)  # the first one opens connections
            return [await one(ari, meta) for _ in range(calls)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20)
    samples = asyncio.run(bench(parser.parse_args().calls))
    table = Table(title=f"Calls to WhatsApp users, {len(samples)} of them, ms")
    for column in ("what", "median", "slowest", "budget"):
        table.add_column(column, justify="left" if column == "what" else "right")
    rows = (
        ("dialled → the user's phone rings", [s.rings for s in samples], RINGS_WITHIN),
        ("ACCEPTED → the user gets packets", [s.heard for s in samples], TALKS_WITHIN),
        ("ACCEPTED → the user's voice is back from the PBX", [s.both for s in samples], TALKS_WITHIN),
    )
    for what, values, budget in rows:
        table.add_row(what, f"{statistics.median(values):.0f}", f"{max(values):.0f}", f"{budget:.0f}")
    console = Console()
    console.print(table)
    late = [what for what, values, budget in rows if statistics.median(values) > budget]
    if late:
        console.print(f"[red]Over budget: {', '.join(late)}.[/red]")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
