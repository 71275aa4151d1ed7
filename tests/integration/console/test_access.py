"""Who may see what, and what is refused to everybody."""

import re

import pytest

from ari_app.console.access import Page
from ari_app.console.api.operations import PREFIX
from ari_app.console.api.routing import DOCUMENT, operations
from ari_app.console.keys import TABLE
from ari_app.console.pages import table
from ari_app.store.console.users import Role
from tests.integration.console.desk import Desk

#: What is said when a page has no such subject; the role was let through by then.
LET_THROUGH = {200, 204, 303, 400, 404, 409, 422}


def filled_in(page: Page) -> str:
    """The page's address with names that nothing has."""
    return re.sub(r"\{[^}]+\}", "00000000-0000-0000-0000-000000000000", page.path)


def test_every_page_says_who_may_see_it() -> None:
    pages = table().pages
    assert {page.path for page in pages if page.is_public} == {"/sign-in", "/static/{version}/{name}", "/ready"}
    assert len({(page.method, page.path) for page in pages}) == len(pages)


async def test_the_table_has_every_route_of_the_server(desk: Desk) -> None:
    known = {(page.method, page.path.replace(":.+}", "}")) for page in desk.app[TABLE].pages}
    known |= {(one.method, PREFIX + one.path) for one in operations()} | {("GET", DOCUMENT)}
    served = {
        (route.method, route.resource.canonical)
        for route in desk.app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert served == known


@pytest.mark.parametrize("role", [None, *Role], ids=str)
async def test_each_role_gets_its_pages_and_no_other(desk: Desk, role: Role | None) -> None:
    """The matrix: every page, as it is asked for by each role, and by nobody."""
    browser = desk.browser() if role is None else await desk.signed_in(role)
    await browser.get("/account" if role else "/sign-in")
    token = browser.token
    wrong = []
    for page in desk.app[TABLE].pages:
        if page.is_public or page.path == "/sign-out":
            continue
        if page.path.endswith("/events"):
            answer = await browser.open_stream(page.path)
        elif page.method == "GET":
            answer = await browser.get(filled_in(page), redirects=False)
        else:
            answer = await browser.post(filled_in(page), token=token, redirects=False)
        if role is None:
            wanted = {303} if page.method == "GET" else {401}
            allowed = answer.status in wanted and "/sign-in" in answer.headers.get("Location", "/sign-in")
        elif role in page.roles:
            allowed = answer.status in LET_THROUGH
        else:
            allowed = answer.status == 403
        if not allowed:
            wrong.append((page.method, page.path, answer.status))
    assert not wrong


async def test_the_navigation_shows_only_what_may_be_opened(desk: Desk) -> None:
    for role in Role:
        browser = await desk.signed_in(role)
        front = await browser.get("/account")
        navigation = front.text.split('aria-label="Main"')[1].split("</nav>")[0]
        for path in re.findall(r'href="([^"]+)"', navigation):
            assert (await browser.get(path)).status == 200, (role, path)


async def test_a_disabled_user_is_out_with_the_next_click(desk: Desk) -> None:
    user, browser = await desk.add_user(Role.REPORTING), desk.browser()
    await browser.sign_in(user.login)
    assert (await browser.get("/account")).status == 200
    await desk.fetch("UPDATE console.users SET enabled = false WHERE id = $1", user.id)
    assert (await browser.get("/account")).path.startswith("/sign-in")


async def test_a_password_given_by_somebody_else_must_be_changed_first(desk: Desk) -> None:
    user, browser = await desk.add_user(Role.ADMINISTRATOR, must_change=True), desk.browser()
    assert (await browser.sign_in(user.login)).path == "/account/password"
    assert (await browser.get("/users")).path == "/account/password"
    assert (await browser.post("/users/new", {"login": "x"})).status == 403
    fields = {"old": "correct horse battery", "new": "another fine horse", "again": "another fine horse"}
    assert (await browser.post("/account/password", fields)).path == "/account"
    assert (await browser.get("/users")).status == 200


@pytest.mark.parametrize("part", ["%00", "%27%22%3B--", "..%2F..", "%ff%fe", "%F0%9F%98%80", "9" * 40, "x" * 500])
async def test_no_address_makes_a_fault(desk: Desk, part: str) -> None:
    """Whatever stands in the place of a name or an id is refused, or simply not found."""
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    faults = []
    for page in desk.app[TABLE].pages:
        path = re.sub(r"\{[^}]+\}", part, page.path)
        if page.method == "GET" and "live" not in path and "/events" not in path:
            answer = await browser.get(f"{path}?q={part}&page={part}&user={part}&number={part}&before={part}")
        elif page.method == "POST" and path != page.path:
            answer = await browser.post(path, {"stamp": part})
        else:
            continue
        if answer.status >= 500:
            faults.append((page.method, path[:60], answer.status))
    assert not faults


async def test_all_answers_forbid_what_pages_never_need(desk: Desk) -> None:
    browser = desk.browser()
    for path in ("/sign-in", "/nowhere", "/ready", "/static/x/app.css"):
        headers = (await browser.get(path)).headers
        policy = headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "same-origin"


async def test_no_page_has_script_or_style_in_it(desk: Desk) -> None:
    """The policy would stop it; here it is found before a browser does."""
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    for page in desk.app[TABLE].pages:
        if page.method != "GET" or "{" in page.path or page.path.endswith("/events"):
            continue
        text = (await browser.get(page.path)).text
        assert not re.search(r"<[^>]+\s(style|on[a-z]+)\s*=", text), page.path
        assert not re.search(r"<script(?![^>]*\ssrc=)|<style", text), page.path


async def test_static_files_are_only_those_that_are_ours(desk: Desk) -> None:
    browser = desk.browser()
    style = re.search(r'href="(/static/[^"]+app\.css)"', (await browser.get("/sign-in")).text)
    assert style
    found = await browser.get(style.group(1))
    assert found.status == 200
    assert "immutable" in found.headers["Cache-Control"]
    for path in ("..%2Fapp.py", "%2e%2e%2f%2e%2e%2fconfig.py", "..%5Capp.py", "app.css%00", "/etc/passwd"):
        assert (await browser.get(f"/static/x/{path}")).status == 404
