"""How heavy the console's pages are, and how long they take, with a business of size on loopback.

A real console process on a real PostgreSQL: 40 numbers, 300 agents in 30 groups, 20 menus, 5000 lines of audit,
100 000 calls in 90 days. Weight
is page, style, script and icons as they travel; the time is until the last byte. Ends with 1 when a bound of the
project is passed.
"""

import asyncio
import re
import statistics
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import asyncpg
import yaml

from ari_app.runtime.console_login import ConsoleLogin, add_administrator
from ari_app.runtime.folder import RunFolder
from ari_app.runtime.ports import LOOPBACK, PortBlock
from ari_app.runtime.postgres import EmbeddedPostgres
from ari_app.runtime.processes import Process
from ari_app.runtime.settings import write_toml
from ari_app.store.configuration import examine
from ari_app.store.configuration.transfer import carry_in
from ari_app.store.migrate import migrate

NUMBERS, AGENTS, GROUPS, MENUS, AUDITED, CALLS = 40, 300, 30, 20, 5000, 100_000
VISITS = 15
MOST_KB, MOST_MS = 150, 150
#: Charts of many days are reports: the bound is that of a report in SQL.
MOST_REPORT_MS = 300

PATHS = (
    "/channels",
    "/channels/4930000000001/incoming",
    "/channels/4930000000001/voice",
    "/channels/4930000000001/meta",
    "/agents",
    "/groups",
    "/groups/Group%2001",
    "/ivr",
    "/ivr/Menu%2001",
    "/hours",
    "/money",
    "/users",
    "/audit",
    "/reports/records",
    "/reports/records?group=Group%2001&status=Missed",
    "/reports/records?sort=talk",
    "/reports/records/bench.1",
    "/reports/charts",
    f"/reports/charts?since={datetime.now(UTC).date() - timedelta(days=29)}",
    "/reports/voicemail",
    "/reports/reconciliation",
)

#: Loaded around the triggers, and made into records afterwards, as an old table would be.
HISTORY = """
ALTER TABLE pbx.calls DISABLE TRIGGER USER;
INSERT INTO pbx.calls (id, linkedid, channel_type, direction, number, caller_number, caller_name, state, status,
                       ended_by, reason, agent_id, received_at, queued_at, connected_at, ended_at, path)
SELECT md5('call' || n)::uuid, 'bench.' || n, CASE n % 3 WHEN 0 THEN 'Voice' ELSE 'WhatsApp Call' END, 'inbound',
       '493000000' || lpad((n % 40)::text, 4, '0'), '49151' || lpad(n::text, 8, '0'), 'Caller ' || n, 'ended',
       CASE n % 5 WHEN 0 THEN 'Missed' ELSE 'Answered' END, 'user', 'the caller hung up',
       CASE WHEN n % 5 > 0 THEN (SELECT ids[1 + n % 300] FROM (SELECT array_agg(id) AS ids FROM pbx.agents) a) END,
       at, at, CASE n % 5 WHEN 0 THEN NULL ELSE at + n % 40 * interval '1 s' END, at + (40 + n % 600) * interval '1 s',
       ARRAY['group:Group ' || lpad((n % 30)::text, 2, '0')]
  FROM (SELECT n, now() - interval '1 hour' - n * interval '77 s' AS at FROM generate_series(1, {calls}) n) s;
ALTER TABLE pbx.calls ENABLE TRIGGER USER;
INSERT INTO reports.dirty (linkedid) SELECT linkedid FROM pbx.calls;
"""


def configuration() -> bytes:
    agents = [f"PJSIP/{2000 + n}" for n in range(AGENTS)]
    groups = [f"Group {n:02}" for n in range(GROUPS)]
    document = {
        "numbers": {
            f"493000000{n:04}": {"phone_number_id": 1000 + n, "name": f"Shop {n}", "groups": [groups[n % GROUPS]]}
            | ({"incoming": "ivr", "menu": "Menu 00"} if n == 0 else {})
            for n in range(NUMBERS)
        },
        "agents": {
            endpoint: {"name": f"Agent {n}", "extension": str(2000 + n), "voip_only": True}
            for n, endpoint in enumerate(agents)
        },
        "groups": {group: {"members": dict.fromkeys(agents[n::GROUPS], 1)} for n, group in enumerate(groups)},
        "menus": {
            f"Menu {n:02}": {
                "prompt": "sound:vm-press",
                "options": {"1": f"group:{groups[n]}", "2": f"menu:Menu {(n + 1) % MENUS:02}"},
            }
            for n in range(MENUS)
        },
        "schedules": {"Office": {"time_zone": "Europe/Berlin", "hours": {"monday": "09:00-17:00"}}},
    }
    return yaml.safe_dump(document).encode()


async def fill(dsn: str, login: ConsoleLogin) -> None:
    await migrate(dsn)
    reading, faults = examine(configuration())
    assert reading is not None, faults
    await carry_in(dsn, reading, maker=None, folder=Path())
    await add_administrator(dsn, login)
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            """
            INSERT INTO console.audit (actor, action, kind, subject, before, after)
            SELECT 'admin', 'changed', 'group', 'Group ' || n % 30, '{"ring_seconds": "20"}', '{"ring_seconds": "25"}'
              FROM generate_series(1, $1) n
            """,
            AUDITED,
        )
        await connection.execute(HISTORY.format(calls=CALLS))
        while await connection.fetchval("SELECT reports.refresh(5000)"):
            pass
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


async def visit(browser: aiohttp.ClientSession, base: str, path: str) -> tuple[float, str]:
    """Milliseconds, and the page."""
    begun = time.perf_counter()
    async with browser.get(base + path, headers={"Accept": "text/html"}) as answer:
        text = await answer.text()
    assert answer.status == 200, (path, answer.status)
    return (time.perf_counter() - begun) * 1000, text


async def weigh(browser: aiohttp.ClientSession, base: str, text: str) -> float:
    """kB of a page with everything that it needs."""
    total = len(text.encode())
    for asset in sorted(set(re.findall(r'(?:href|src)="(/static/[^"#]+)', text))):
        async with browser.get(base + asset) as answer:
            total += len(await answer.read())
    return total / 1000


async def main() -> int:
    login = ConsoleLogin()
    with RunFolder() as folder, PortBlock() as ports:
        postgres = EmbeddedPostgres(folder.path / "postgres", ports.take())
        await postgres.start()
        try:
            dsn = postgres.dsn()
            await fill(dsn, login)
            listen = f"{LOOPBACK}:{ports.take()}"
            config = folder.path / "console.toml"
            write_toml(config, {"postgres": {"dsn": dsn}, "console": {"listen": listen}})
            command = [sys.executable, "-m", "ari_app.console", "--config", str(config)]
            console = Process("console", command, folder.logs / "console.log", notifies=True)
            begun = time.perf_counter()
            await console.start()
            try:
                print(f"console ready after {(time.perf_counter() - begun) * 1000:.0f} ms")
                return await measure(f"http://{listen}", login)
            finally:
                await console.stop()
        finally:
            await postgres.stop()


async def measure(base: str, login: ConsoleLogin) -> int:
    passed = []
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        first, text = await visit(browser, base, "/sign-in")
        weight = await weigh(browser, base, text)
        print(f"{'page':<50}{'kB':>8}{'first ms':>10}{'median ms':>11}")
        print(f"{'/sign-in':<50}{weight:>8.1f}{first:>10.1f}")
        passed += [first <= MOST_MS, weight <= MOST_KB]
        token = re.search(r'name="token" value="([^"]+)"', text)
        assert token
        fields = {"token": token.group(1), "login": login.login, "password": login.password}
        async with browser.post(f"{base}/sign-in", data=fields) as answer:
            assert answer.status == 200
        for path in PATHS:
            first, text = await visit(browser, base, path)
            times = [(await visit(browser, base, path))[0] for _ in range(VISITS)]
            weight = await weigh(browser, base, text)
            print(f"{path:<50}{weight:>8.1f}{first:>10.1f}{statistics.median(times):>11.1f}")
            passed += [first <= (MOST_REPORT_MS if "charts?" in path else MOST_MS), weight <= MOST_KB]
    verdict = "kept" if all(passed) else "PASSED"
    print(f"bounds: {MOST_KB} kB without media, {MOST_MS} ms, {MOST_REPORT_MS} ms for charts of many days: {verdict}")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
