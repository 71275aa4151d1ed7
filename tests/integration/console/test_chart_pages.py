"""Charts of the console: they count what the list shows, for those who may see it."""

import re

import pytest

from ari_app.store.console.users import Role
from tests.integration.console.desk import Desk
from tests.integration.console.history import COUNT, History

DAY = "since=2026-03-29&until=2026-03-29&zone=UTC"


def cells(text: str, heading: str) -> list[list[str]]:
    """Rows of the table behind a chart, or under a heading."""
    table = text.split(f"<h2>{heading}")[1].split("<tbody>")[1].split("</tbody>")[0]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in table.split("</tr>")]
    return [[re.sub(r"<[^>]+>", "", cell) for cell in row] for row in rows if row]


async def test_charts_and_their_tables_have_every_call_once(desk: Desk, history: History) -> None:
    browser = await desk.signed_in(Role.REPORTING)
    text = (await browser.get(f"/reports/charts?{DAY}")).text
    calls = cells(text, "Calls per hour, by status")
    assert [row[0] for row in calls] == ["10:00", "11:00"]
    assert [row[-1] for row in calls] == ["60", "60"]
    svg = text.split('aria-label="Calls per hour, by status"')[1].split("</svg>")[0]
    bars = re.findall(r"<title>(\S+): (\d+) ([^<]+)</title>", svg)
    assert sum(int(count) for _, count, _ in bars) == COUNT
    assert ("10:00", "20", "Missed") in bars
    waits = cells(text, "How long callers waited")
    assert sum(int(cell) for row in waits for cell in row[1:]) == COUNT
    assert sum(int(row[1]) for row in waits) == 80
    groups = {row[0]: row[1:] for row in cells(text, "Groups")}
    assert groups["Sales"][:5] == ["80", "40", "40", "0", "40"]
    assert (groups["Sales"][6], groups["Support"][6]) == ("50.0 %", "100.0 %")
    sales = cells((await browser.get(f"/reports/charts?{DAY}&group=Sales")).text, "Sales by hour")
    assert [row[:6] for row in sales] == [
        ["10:00", "40", "20", "20", "0", "20"],
        ["11:00", "40", "20", "20", "0", "20"],
    ]
    agents = {row[1]: row for row in cells(text, "Agents by day")}
    assert (agents["Ada"][0], agents["Ada"][6]) == ("2026-03-29", "40")
    assert agents["Edsger"][6] == "40"
    assert "67 %" in text  # 80 of 120 answered


async def test_many_days_are_shown_by_the_day_and_agents_in_sum(desk: Desk, history: History) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    text = (await browser.get("/reports/charts?since=2026-03-20&until=2026-04-05&zone=Europe/Berlin")).text
    assert [row[0] for row in cells(text, "Calls per day, by status")] == ["29 Mar"]
    assert {row[0] for row in cells(text, "Agents")} == {"Ada", "Edsger"}
    far = (await browser.get("/reports/charts?since=1990-01-01&until=2026-03-29&zone=UTC")).text
    assert "2025-12-28 to 2026-03-29" in far
    turned = (await browser.get("/reports/charts?since=2026-03-29&until=2026-03-01&zone=UTC")).text
    assert "2026-03-01" in turned
    only = (await browser.get(f"/reports/charts?{DAY}&group=Support&type=Voice")).text
    assert sum(int(row[-1]) for row in cells(only, "Calls per hour, by status")) == 10
    assert [row[0] for row in cells(only, "Support by hour")] == ["10:00", "11:00"]
    assert {row[1] for row in cells(only, "Agents by day")} == {"Edsger"}


async def test_a_supervisor_has_figures_of_the_own_groups_alone(desk: Desk, history: History) -> None:
    browser = await desk.signed_in(Role.SUPERVISOR, groups=("Support",))
    for more in ("", "&group=Sales", "&group=Support"):
        text = (await browser.get(f"/reports/charts?{DAY}{more}")).text
        assert "Ada" not in text
        assert "Sales</td>" not in text
    assert sum(int(row[-1]) for row in cells(text, "Calls per hour, by status")) == 40
    assert {row[1] for row in cells(text, "Agents by day")} == {"Edsger"}
    nobody = await desk.signed_in(Role.SUPERVISOR)
    empty = (await nobody.get(f"/reports/charts?{DAY}")).text
    assert "No calls of groups" in empty
    assert "No agent had a call" in empty


@pytest.mark.parametrize(
    "query", ["", "since=x&until=y&zone=z", "since=2026-10-25&until=2026-10-25&zone=Europe/Berlin"]
)
async def test_a_day_without_calls_has_charts_all_the_same(desk: Desk, history: History, query: str) -> None:
    browser = await desk.signed_in(Role.REPORTING)
    answer = await browser.get(f"/reports/charts?{query}")
    assert answer.status == 200
    assert len(answer.text) < 150_000
