"""The list of call records, and the same as CSV: filters, order, pages, and what somebody may see."""

import csv
import html
import io
import re
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from ari_app.console.pages import records as pages_records
from ari_app.store.console.users import Role
from ari_app.store.database import StoreUnavailable
from tests.integration.console.desk import Browser, Desk
from tests.integration.console.history import COUNT, DAYS, History, linkedid

LIST = f"/reports/records?{DAYS}"

_ROW = re.compile(r'href="/reports/records/past%2F(\d+)\.1"')


def rows(text: str) -> list[int]:
    return [int(n) for n in _ROW.findall(text)]


def link(text: str, rel: str) -> str | None:
    found = re.search(rf'rel="{rel}" href="([^"]+)"', text)
    return html.unescape(found.group(1)) if found else None


async def all_rows(browser: Browser, path: str) -> list[int]:
    found: list[int] = []
    following: str | None = path
    while following:
        answer = await browser.get(following)
        assert answer.status == 200, answer.text
        found += rows(answer.text)
        following = link(answer.text, "next")
    return found


async def sheet(browser: Browser, query: str) -> list[dict[str, str]]:
    answer = await browser.get(f"/reports/records.csv?{query}")
    assert answer.status == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text)))


async def agent_id(desk: Desk, endpoint: str) -> object:
    return (await desk.fetch("SELECT id FROM pbx.agents WHERE endpoint = $1", endpoint))[0]["id"]


async def test_pages_lead_forth_and_back_through_the_whole_list(desk: Desk, history: History) -> None:
    browser = await desk.signed_in(Role.REPORTING)
    first = await browser.get(LIST)
    assert rows(first.text) == list(range(119, 69, -1))
    assert f"{COUNT} calls" in first.text
    assert link(first.text, "prev") is None
    second = await browser.get(link(first.text, "next") or "")
    third = await browser.get(link(second.text, "next") or "")
    assert rows(second.text) == list(range(69, 19, -1))
    assert rows(third.text) == list(range(19, -1, -1))
    assert link(third.text, "next") is None
    back = await browser.get(link(third.text, "prev") or "")
    assert rows(back.text) == rows(second.text)
    assert rows((await browser.get(link(back.text, "next") or "")).text) == rows(third.text)
    start = await browser.get(link(back.text, "prev") or "")
    assert rows(start.text) == rows(first.text)
    assert link(start.text, "prev") is None
    for nonsense in ("after=x", "before=AAAA", "after=" + "A" * 3000, "sort=linkedid&order=sideways"):
        assert rows((await browser.get(f"{LIST}&{nonsense}")).text) == rows(first.text)


async def test_each_filter_leaves_what_it_says_and_the_sheet_has_the_same(desk: Desk, history: History) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    every = range(COUNT)
    ada = await agent_id(desk, "PJSIP/1001")
    wanted = {
        "type=Voice": {n for n in every if n % 4 == 0},
        "status=Missed": {n for n in every if n % 3 == 1},
        "status=Missed&status=Answered&type=Voice": {n for n in every if n % 4 == 0},
        "direction=outbound": set(),
        "number=15550783881&group=Support": {n for n in every if n % 3 == 2},
        f"agent={ada}": {n for n in every if n % 3 == 0},
        "caller=%2B4915110007": {7},
        "caller=491511": set(every),
        "caller=%3CB%3Ezo%C3%AB%3C%2Fb%3E%201": {10, 15, 100, 105, 110, 115},
    }
    for query, left in wanted.items():
        assert set(await all_rows(browser, f"{LIST}&{query}")) == left, query
        found = await sheet(browser, f"{DAYS}&{query}")
        assert {row["linkedid"] for row in found} == {linkedid(n) for n in left}, query
    assert len(await sheet(browser, DAYS)) == COUNT


async def test_a_list_is_ordered_by_what_its_heading_says(desk: Desk, history: History) -> None:
    browser = await desk.signed_in(Role.REPORTING)
    first = await browser.get(LIST)
    by_talk = html.unescape(re.findall(r'<a href="(/reports/records\?[^"]*sort=talk[^"]*)">Talk', first.text)[0])
    longest = await browser.get(by_talk)
    assert rows(longest.text)[:2] == [119, 117]
    assert 'aria-sort="descending"' in longest.text
    turned = html.unescape(re.findall(r'<a href="(/reports/records\?[^"]*)">Talk', longest.text)[0])
    shortest = await browser.get(turned)
    assert 'aria-sort="ascending"' in shortest.text
    assert {n % 3 for n in rows(shortest.text)[:40]} == {1}
    assert sorted(await all_rows(browser, by_talk)) == list(range(COUNT))
    assert await all_rows(browser, turned) == (await all_rows(browser, by_talk))[::-1]


async def test_days_are_those_of_the_time_zone(desk: Desk, history: History) -> None:
    browser = await desk.signed_in(Role.REPORTING)
    auckland = "since=2026-03-29&until=2026-03-29&zone=Pacific/Auckland"
    assert await all_rows(browser, f"/reports/records?{auckland}") == list(range(59, -1, -1))
    text = (await browser.get(f"/reports/records?{auckland}")).text
    assert ">2026-03-29 23:59:00<" in text
    browser.plant("aw_zone", "Pacific%2FAuckland")
    assert ">2026-03-30 00:00:00<" in (await browser.get("/reports/records?caller=4915110060")).text
    (row,) = await sheet(browser, "caller=4915110060&zone=Europe/Berlin")
    assert row["started_at"] == "2026-03-29 13:00:00+02"
    browser.plant("aw_zone", "Atlantis%2FPoseidonis")
    for zone in ("Atlantis", "../../etc/passwd", "%00"):
        assert (await browser.get(f"/reports/records?zone={zone}&since=2026-99-99")).status == 200


@pytest.mark.parametrize(
    "evil",
    [
        "'; DROP TABLE reports.records; --",
        "' OR '1'='1",
        "\0",
        "%",
        "\\'",
        "$1",
        '<script>alert(1)</script>"',
        "\U0010ffff",
    ],
)
async def test_whatever_is_typed_into_a_filter_finds_nothing_and_breaks_nothing(
    desk: Desk, history: History, evil: str
) -> None:
    browser = await desk.signed_in(Role.REPORTING)
    for name in ("caller", "number", "group"):
        answer = await browser.get(f"{LIST}&{name}={quote(evil, safe='')}")
        assert answer.status == 200
        assert rows(answer.text) == []
        assert "<script>" not in answer.text
        assert await sheet(browser, f"{DAYS}&{name}={quote(evil, safe='')}") == []
    for name in ("type", "status", "direction", "agent", "since", "until", "sort", "order", "after", "before"):
        assert (await browser.get(f"{LIST}&{name}={quote(evil, safe='')}")).status == 200, name
    assert len(await sheet(browser, DAYS)) == COUNT


async def test_names_of_callers_are_only_text_and_no_formula(desk: Desk, history: History) -> None:
    browser = await desk.signed_in(Role.REPORTING)
    page = (await browser.get(f"{LIST}&caller=4915110005")).text
    assert "&lt;b&gt;Zoë&lt;/b&gt; 5" in page
    assert "<b>Zoë" not in page


@pytest.mark.parametrize("role", list(Role))
async def test_everybody_sees_their_own_calls_in_list_and_sheet(desk: Desk, history: History, role: Role) -> None:
    """An agent the own ones, a supervisor those of the groups, others all; a filter never widens it."""
    edsger = await agent_id(desk, "PJSIP/1003")
    limits: dict[Role, dict[str, Any]] = {Role.AGENT: {"agent_id": edsger}, Role.SUPERVISOR: {"groups": ("Sales",)}}
    browser = await desk.signed_in(role, **limits.get(role, {}))
    may_see = {
        Role.AGENT: {n for n in range(COUNT) if n % 3 == 2},
        Role.SUPERVISOR: {n for n in range(COUNT) if n % 3 != 2},
    }.get(role, set(range(COUNT)))
    for more in ("", "&group=Support", "&group=Sales", f"&agent={edsger}"):
        shown = set(await all_rows(browser, LIST + more))
        assert shown <= may_see
        if not more:
            assert shown == may_see
        found = {row["linkedid"] for row in await sheet(browser, DAYS + more)}
        assert found == {linkedid(n) for n in shown}
    await desk.fetch("UPDATE console.users SET agent_id = NULL")


async def test_a_supervisor_without_groups_sees_nothing(desk: Desk, history: History) -> None:
    browser = await desk.signed_in(Role.SUPERVISOR)
    assert "0 calls" in (await browser.get(LIST)).text
    assert await sheet(browser, DAYS) == []


async def test_a_sheet_that_breaks_off_is_never_taken_for_whole(
    desk: Desk, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = await desk.signed_in(Role.REPORTING)

    async def fails(*arguments: Any, zone: str, descending: bool) -> int:
        write = arguments[2]
        if descending:
            await write(b"linkedid\r\n1\r\n" * 1000)
        raise StoreUnavailable("PostgreSQL went away")

    monkeypatch.setattr(pages_records, "export_records", fails)
    with pytest.raises(aiohttp.ClientPayloadError):
        await browser.get("/reports/records.csv")
    early = await browser.get("/reports/records.csv?order=up")
    assert early.status == 503
    assert "PostgreSQL is away" in early.text
