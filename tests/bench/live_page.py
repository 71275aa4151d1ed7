"""The live page with 200 calls: how far it is behind, and what it costs the console's process.

    python tests/bench/live_page.py [--calls 200] [--viewers 3] [--seconds 20] [--json]

A console of its own, on a PostgreSQL of its own. Calls change all the time, as they do when each lasts three minutes
and has six steps. Limits: at most 1 s behind, 5 % of a core.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp
import asyncpg

from ari_app.runtime.console_login import ConsoleLogin, add_administrator
from ari_app.runtime.folder import RunFolder
from ari_app.runtime.ports import PortBlock
from ari_app.runtime.postgres import EmbeddedPostgres
from ari_app.runtime.processes import Process
from ari_app.runtime.settings import write_toml
from ari_app.store.migrate import migrate

CALL_SECONDS = 180.0
STEPS = 6

MOST_BEHIND = 1.0
MOST_CPU = 5.0


@dataclass(frozen=True)
class Result:
    calls: int
    viewers: int
    changes_per_second: float
    behind_median: float
    behind_most: float
    "Of a change, s."
    cpu: float
    "Of a core, %."
    bytes_per_second: float
    "To one viewer."


class Viewer:
    """Reads the stream as a browser does, and knows when each call's name came."""

    def __init__(self) -> None:
        self.seen: dict[str, float] = {}
        self.size = 0
        self.ready = asyncio.Event()

    async def watch(self, session: aiohttp.ClientSession, url: str) -> None:
        rest = b""
        async with session.get(f"{url}/live/events") as reply:
            reply.raise_for_status()
            async for piece in reply.content.iter_any():
                self.size += len(piece)
                rest += piece
                *blocks, rest = rest.split(b"\n\n")
                now = time.perf_counter()
                for block in blocks:
                    for mark in re.findall(rb"mark-[0-9]+", block):
                        self.seen.setdefault(mark.decode(), now)
                    if b"live-calls" in block:
                        self.ready.set()


async def fill(db: asyncpg.Connection, calls: int) -> list[uuid.UUID]:
    """So many calls: three of four with an agent each, the others waiting."""
    ids = [uuid.uuid4() for _ in range(calls)]
    await db.execute("INSERT INTO pbx.groups (name) VALUES ('Sales'), ('Support')")
    await db.execute(
        "INSERT INTO pbx.agents (name, endpoint) SELECT 'Agent ' || n, 'PJSIP/' || n FROM generate_series(1, $1) n",
        calls,
    )
    await db.execute("INSERT INTO pbx.group_members (group_name, agent_id) SELECT 'Sales', id FROM pbx.agents")
    await db.execute(
        "INSERT INTO pbx.calls (id, linkedid, channel_type, direction, number, caller_number, caller_name, "
        "state, path) "
        "SELECT id, id::text, 'WhatsApp Call', 'inbound', '15550783881', '+49151' || (10000000 + n), 'Caller ' || n, "
        "'queued', ARRAY['group:Sales'] FROM unnest($1::uuid[]) WITH ORDINALITY c (id, n)",
        ids,
    )
    await db.execute(
        "UPDATE pbx.calls c SET state = 'connected', connected_at = now(), agent_id = a.id "
        "FROM (SELECT id, row_number() OVER (ORDER BY name) AS n FROM pbx.agents) a, "
        "unnest($1::uuid[]) WITH ORDINALITY i (id, n) WHERE c.id = i.id AND a.n = i.n AND i.n % 4 <> 0",
        ids,
    )
    await db.execute(
        "INSERT INTO pbx.waiting (call_id, group_name, priority, joined_at) "
        "SELECT id, 'Sales', 10, received_at FROM pbx.calls WHERE state = 'queued'"
    )
    await db.execute(
        "UPDATE pbx.agent_states s SET call_id = c.id, reserved_at = now() FROM pbx.calls c "
        "WHERE c.agent_id = s.agent_id"
    )
    return ids


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(
    db: asyncpg.Connection, url: str, pid: int, login: ConsoleLogin, options: argparse.Namespace
) -> Result:
    ids = await fill(db, options.calls)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        async with session.get(f"{url}/sign-in") as reply:
            token = re.findall(r'name="token" value="([^"]+)"', await reply.text())[0]
        fields = {"login": login.login, "password": login.password, "token": token}
        async with session.post(f"{url}/sign-in", data=fields) as reply:
            reply.raise_for_status()
        viewers = [Viewer() for _ in range(options.viewers)]
        watching = [asyncio.create_task(viewer.watch(session, url)) for viewer in viewers]
        try:
            async with asyncio.timeout(10):
                await asyncio.gather(*(viewer.ready.wait() for viewer in viewers))
            changed = await change(db, ids, viewers, pid, options)
        finally:
            for task in watching:
                task.cancel()
            await asyncio.wait(watching)
    return changed


async def change(
    db: asyncpg.Connection, ids: list[uuid.UUID], viewers: list[Viewer], pid: int, options: argparse.Namespace
) -> Result:
    """Change one call after the other; all viewers have to see it."""
    rate = options.calls * STEPS / CALL_SECONDS
    told: dict[str, float] = {}
    before, size, began = cpu_seconds(pid), viewers[0].size, time.perf_counter()
    while (passed := time.perf_counter() - began) < options.seconds:
        mark = f"mark-{len(told)}"
        await db.execute(
            "UPDATE pbx.calls SET caller_name = $2::text, path = path || $2::text WHERE id = $1",
            ids[len(told) % len(ids)],
            mark,
        )
        told[mark] = time.perf_counter()
        await asyncio.sleep(max(0.0, len(told) / rate - passed))
    took = time.perf_counter() - began
    cpu = 100 * (cpu_seconds(pid) - before) / took
    async with asyncio.timeout(10):
        while any(mark not in viewer.seen for viewer in viewers for mark in told):
            await asyncio.sleep(0.05)
    behind = sorted(viewer.seen[mark] - at for viewer in viewers for mark, at in told.items())
    return Result(
        calls=options.calls,
        viewers=options.viewers,
        changes_per_second=len(told) / took,
        behind_median=behind[len(behind) // 2],
        behind_most=behind[-1],
        cpu=cpu,
        bytes_per_second=(viewers[0].size - size) / took,
    )


async def run(options: argparse.Namespace) -> Result:
    with RunFolder() as run_folder, PortBlock() as ports:
        folder, login = run_folder.path, ConsoleLogin()
        postgres = EmbeddedPostgres(folder / "postgres", ports.take())
        listen = f"127.0.0.1:{ports.take()}"
        command = [sys.executable, "-m", "ari_app.console", "--config", str(folder / "console.toml")]
        console = Process("console", command, folder / "console.log", folder=folder, notifies=True)
        try:
            await postgres.start()
            write_toml(folder / "console.toml", {"postgres": {"dsn": postgres.dsn()}, "console": {"listen": listen}})
            await migrate(postgres.dsn())
            await add_administrator(postgres.dsn(), login)
            await console.start()
            db = await asyncpg.connect(postgres.dsn())
            try:
                assert console.pid is not None
                return await measure(db, f"http://{listen}", console.pid, login, options)
            finally:
                await db.close()
        finally:
            await console.stop()
            await postgres.stop()


def main() -> int:
    """Exit status 1 when a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--viewers", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = asyncio.run(run(options))
    if options.json:
        sys.stdout.write(json.dumps(asdict(result)) + "\n")
    else:
        sys.stdout.write(
            f"live page: {result.calls} calls, {result.viewers} viewers, {result.changes_per_second:.1f} changes/s: "
            f"{result.behind_median:.2f} s behind (at most {result.behind_most:.2f}), {result.cpu:.1f} % of a core, "
            f"{result.bytes_per_second / 1000:.0f} kB/s to each\n"
        )
    return 0 if result.behind_most <= MOST_BEHIND and result.cpu <= MOST_CPU else 1


if __name__ == "__main__":
    sys.exit(main())
