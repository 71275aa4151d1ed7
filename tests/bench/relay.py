"""What one call costs the bridge, beside stock aiortc in the same run: `make bench`.

CPU is whole-process (user and system, all threads) from /proc, as a share of one core, over a stretch in which all
calls are up and talk both ways. The run is void if packets are missing: a relay that drops is cheap.
"""

import argparse
import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ari_app.runtime.processes import Process
from ari_app.runtime.stack import Stack, StackOptions
from whatsapp_bridge.simulator.client import PhoneCall, SimulatorClient
from whatsapp_bridge.simulator.models import Behaviour, PlaceCall
from whatsapp_bridge.simulator.phone import Sound, Tone

DIALPLAN = """
[whatsapp-in]
exten => _X.,1,Answer()
 same => n,Echo()
"""
TICKS = os.sysconf("SC_CLK_TCK")
PACKETS_PER_SECOND = 50
#: Share of the packets that must have come back for a run to count.
COMPLETE = 0.98


@dataclass(frozen=True)
class Result:
    calls: int
    bridge: float
    "% of a core per call"
    asterisk: float
    simulator: float
    returned: float
    "packets heard by the users, of those due"


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def measure(stack: Stack, bridge: Process, calls: int, seconds: float) -> Result:
    async with SimulatorClient(stack.simulator_url) as meta:
        placed: list[PhoneCall] = []
        for i in range(calls):
            play = Sound(tone=Tone(hz=600, dbfs=-20))
            # An echo alone would wait for the user's first packet as WhatsApp waits for the business's.
            behaviour = Behaviour(waits_for_media=False)
            call = await meta.place(PlaceCall(from_=f"1{i:06d}", play=play, record=False, behaviour=behaviour))
            await call.wait(audio=True, timeout=20)
            placed.append(call)
        processes = [bridge, stack.asterisk.process, stack.simulator]
        loop = asyncio.get_running_loop()
        packets = [(await call.read())["media"]["audio_packets_in"] for call in placed]
        began, before = loop.time(), [cpu_seconds(p.pid) for p in processes]
        await asyncio.sleep(seconds)  # the stretch that is measured
        elapsed, after = loop.time() - began, [cpu_seconds(p.pid) for p in processes]
        heard = sum([(await call.read())["media"]["audio_packets_in"] for call in placed]) - sum(packets)
        for call in placed:
            await call.hang_up()
    own, asterisk, simulator = ((b - a) / elapsed / calls * 100 for a, b in zip(before, after, strict=True))
    return Result(calls, own, asterisk, simulator, heard / (elapsed * PACKETS_PER_SECOND * calls))


async def bench(calls: int, stock_calls: int, seconds: float) -> tuple[Result, Result]:
    async with Stack.start(StackOptions(app=False, extra_dialplan=DIALPLAN)) as stack:
        ours = await measure(stack, stack.bridge, calls, seconds)
    async with Stack.start(StackOptions(app=False, bridge=False)) as stack:
        script = Path(__file__).with_name("stock_aiortc.py")
        command = [sys.executable, str(script), "--config", str(stack.config)]
        stock = Process("stock-aiortc", command, stack.logs / "stock.log", folder=stack.folder, notifies=True)
        await stock.start()
        try:
            theirs = await measure(stack, stock, stock_calls, seconds)
        finally:
            await stock.stop()
    return ours, theirs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--stock-calls", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    ours, theirs = asyncio.run(bench(arguments.calls, arguments.stock_calls, arguments.seconds))
    table = Table(title="CPU per call, % of one core (50 packets/s each way)")
    for column in ("relay", "calls", "relay process", "Asterisk", "simulator", "packets returned"):
        table.add_column(column, justify="left" if column == "relay" else "right")
    for name, result, asterisk in (("asterisk-whatsapp", ours, True), ("stock aiortc, echo only", theirs, False)):
        table.add_row(
            name,
            str(result.calls),
            f"{result.bridge:.2f}",
            f"{result.asterisk:.2f}" if asterisk else "",
            f"{result.simulator:.2f}",
            f"{result.returned:.1%}",
        )
    console = Console()
    console.print(table)
    console.print(f"Stock aiortc costs {theirs.bridge / ours.bridge:.1f} times as much.")
    incomplete = [r for r in (ours, theirs) if r.returned < COMPLETE]
    if incomplete:
        console.print("[red]Void: packets are missing; the machine is too busy or the relay too slow.[/red]")
    return 1 if incomplete else 0


if __name__ == "__main__":
    sys.exit(main())
