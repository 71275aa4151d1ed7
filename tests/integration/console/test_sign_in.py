"""Sign-in, sessions and forms: what gets in, and what does not."""

import asyncio

import aiohttp
import pytest

from ari_app.console.pages.sign_in import ATTEMPTS_PER_ACCOUNT, ATTEMPTS_PER_ADDRESS
from ari_app.console.session import digest
from ari_app.store.console.users import Role
from tests.integration.console.desk import PASSWORD, Desk


async def test_the_right_password_leads_to_where_one_wanted_to_go(desk: Desk) -> None:
    user, browser = await desk.add_user(Role.ADMINISTRATOR), desk.browser()
    asked = await browser.get("/audit?kind=user")
    assert asked.path.startswith("/sign-in")
    fields = {"login": f" {user.login.upper()} ", "password": PASSWORD, "next": "/audit?kind=user"}
    assert (await browser.post("/sign-in", fields)).path == "/audit?kind=user"


async def test_signing_in_never_leads_to_another_site(desk: Desk) -> None:
    user = await desk.add_user(Role.ADMINISTRATOR)
    for target in (
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
    ):
        browser = desk.browser()
        await browser.get("/sign-in")
        fields = {"login": user.login, "password": PASSWORD, "next": target}
        answer = await browser.post("/sign-in", fields, redirects=False)
        assert answer.headers["Location"] == "/"


async def test_a_wrong_password_and_an_unknown_login_sound_the_same(desk: Desk) -> None:
    user, browser = await desk.add_user(Role.AGENT), desk.browser()
    said = []
    for login in (user.login, "nobody-at-all"):
        answer = await browser.sign_in(login, "wrong")
        assert answer.status == 401
        said.append("Login or password is wrong." in answer.text)
    assert said == [True, True]


async def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(desk: Desk) -> None:
    user, browser = await desk.add_user(Role.AGENT), desk.browser()
    await browser.get("/sign-in")
    answer = await browser.post("/sign-in", {"login": user.login, "password": PASSWORD}, redirects=False)
    cookie = next(value for name, value in answer.headers.items() if name == "Set-Cookie" and "aw_session" in value)
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


async def test_the_database_does_not_have_the_cookie(desk: Desk) -> None:
    browser = await desk.signed_in(Role.AGENT)
    token = browser.cookie("aw_session")
    assert token
    (row,) = await desk.fetch("SELECT * FROM console.sessions WHERE token_hash = $1", digest(token))
    assert token not in str(dict(row))


async def test_a_cookie_that_was_planted_before_is_worth_nothing_after(desk: Desk) -> None:
    """Session fixation: whatever cookie the browser had, signing in makes a new one."""
    user = await desk.add_user(Role.AGENT)
    victim, attacker = desk.browser(), desk.browser()
    planted = "planted-session-of-an-attacker-000000000000"
    victim.plant("aw_session", planted)
    await victim.sign_in(user.login)
    assert victim.cookie("aw_session") != planted
    attacker.plant("aw_session", planted)
    assert (await attacker.get("/account")).path.startswith("/sign-in")


async def test_each_sign_in_is_a_session_of_its_own(desk: Desk) -> None:
    user, browser = await desk.add_user(Role.AGENT), desk.browser()
    await browser.sign_in(user.login)
    first = browser.cookie("aw_session")
    await browser.post("/sign-out")
    await browser.sign_in(user.login)
    assert browser.cookie("aw_session") != first
    old = desk.browser()
    assert first
    old.plant("aw_session", first)
    assert (await old.get("/account")).path.startswith("/sign-in")


async def test_a_session_ends_by_idleness_and_by_age(desk: Desk) -> None:
    for column in ("seen_at", "created_at"):
        browser = await desk.signed_in(Role.AGENT)
        assert (await browser.get("/account")).path == "/account"
        token = browser.cookie("aw_session")
        assert token
        await desk.fetch(
            f"UPDATE console.sessions SET {column} = now() - interval '13 hours' WHERE token_hash = $1", digest(token)
        )
        assert (await browser.get("/account")).path.startswith("/sign-in")


async def test_a_changed_password_ends_all_other_sessions(desk: Desk) -> None:
    user, here, there = await desk.add_user(Role.AGENT), desk.browser(), desk.browser()
    await here.sign_in(user.login)
    await there.sign_in(user.login)
    await here.get("/account/password")
    wrong = await here.post("/account/password", {"old": "wrong", "new": "a new long one", "again": "a new long one"})
    assert wrong.status == 422
    assert "not your password" in wrong.text
    short = await here.post("/account/password", {"old": PASSWORD, "new": "short", "again": "short"})
    assert "at least 12 characters" in short.text
    done = await here.post("/account/password", {"old": PASSWORD, "new": "a new long one", "again": "a new long one"})
    assert done.path == "/account"
    assert "The password is changed" in done.text
    assert "The password is changed" not in (await here.get("/account")).text
    assert (await there.get("/account")).path.startswith("/sign-in")
    assert (await desk.browser().sign_in(user.login)).status == 401
    assert (await desk.browser().sign_in(user.login, "a new long one")).status == 200


async def test_an_account_cannot_be_guessed_at_for_long_even_all_at_once(desk: Desk) -> None:
    user = await desk.add_user(Role.ADMINISTRATOR)
    browser = desk.browser()
    await browser.get("/sign-in")
    fields = {"login": user.login, "password": "wrong"}
    answers = await asyncio.gather(*(browser.post("/sign-in", fields) for _ in range(ATTEMPTS_PER_ACCOUNT + 6)))
    judged = sum(answer.status == 401 for answer in answers)
    assert judged <= ATTEMPTS_PER_ACCOUNT
    assert sum(answer.status == 429 for answer in answers) == len(answers) - judged
    right = await browser.post("/sign-in", fields | {"password": PASSWORD})
    assert right.status == 429
    assert "Too many attempts" in right.text
    other = await desk.add_user(Role.AGENT)
    assert (await desk.browser().sign_in(other.login)).status == 200


async def test_an_address_cannot_try_many_accounts(desk: Desk) -> None:
    await desk.fetch(
        "INSERT INTO console.sign_in_attempts (login, address) "
        "SELECT 'user' || n, '127.0.0.1' FROM generate_series(1, $1) n",
        ATTEMPTS_PER_ADDRESS,
    )
    user = await desk.add_user(Role.AGENT)
    assert (await desk.browser().sign_in(user.login)).status == 429


async def test_a_right_password_forgives_earlier_mistakes(desk: Desk) -> None:
    user, browser = await desk.add_user(Role.AGENT), desk.browser()
    for _ in range(3):
        await browser.sign_in(user.login, "wrong")
    await browser.sign_in(user.login)
    assert not await desk.fetch("SELECT FROM console.sign_in_attempts WHERE login = $1", user.login)


@pytest.mark.parametrize("token", ["", "x", "Zm9yZ2Vk" * 6])
async def test_a_form_without_its_token_changes_nothing(desk: Desk, token: str) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    fields = {"login": "csrf", "name": "C", "role": "reporting", "enabled": "true"}
    answer = await browser.post("/users/new", fields, token=token)
    assert answer.status == 403
    assert not await desk.fetch("SELECT FROM console.users WHERE login = 'csrf'")


async def test_the_token_of_somebody_else_is_no_token(desk: Desk) -> None:
    mine, theirs = await desk.signed_in(Role.ADMINISTRATOR), await desk.signed_in(Role.ADMINISTRATOR)
    await theirs.get("/users/new")
    answer = await mine.post("/users/new", {"login": "csrf", "name": "C", "role": "reporting"}, token=theirs.token)
    assert answer.status == 403


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_a_form_from_another_site_is_refused_even_with_its_token(desk: Desk, headers: dict[str, str]) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    await browser.get("/users/new")
    fields = {"login": "csrf", "name": "C", "role": "reporting"}
    assert (await browser.post("/users/new", fields, headers=headers)).status == 403
    assert (await desk.browser().get("/sign-in", headers=headers)).status == 200


async def test_signing_in_by_a_planted_form_is_refused(desk: Desk) -> None:
    """Login CSRF: the form needs the visitor's cookie of this browser."""
    user = await desk.add_user(Role.AGENT)
    attacker, victim = desk.browser(), desk.browser()
    await attacker.get("/sign-in")
    answer = await victim.post("/sign-in", {"login": user.login, "password": PASSWORD}, token=attacker.token)
    assert answer.status == 403
    assert victim.cookie("aw_session") is None


async def test_a_form_that_is_too_large_is_not_read(desk: Desk) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    await browser.get("/users/new")
    assert (await browser.post("/users/new", {"name": "x" * 600_000})).status == 413
    data = aiohttp.FormData({"token": browser.token, "name": "x" * 100_000})
    data.add_field("file", b"", filename="a")
    assert (await browser.post("/users/new", data=data)).status == 413


async def test_bytes_that_are_no_text_break_nothing(desk: Desk) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    assert (await browser.get("/audit?subject=%00%ff&actor=a%00b")).status == 200
    await browser.get("/users/new")
    name = await browser.post("/users/new", {"login": "nul", "name": "N\0N", "role": "reporting"})
    assert name.status == 200
    stranger = desk.browser()
    await stranger.get("/sign-in")
    assert (await stranger.post("/sign-in", {"login": "a\0b", "password": "\0"})).status == 401
    broken = {"Content-Type": "application/x-www-form-urlencoded; charset=nonsense"}
    async with stranger.session.post(f"{desk.base}/sign-in", data=b"login=a", headers=broken) as answer:
        assert answer.status == 400
    boundless = {"Content-Type": "multipart/form-data"}
    async with stranger.session.post(f"{desk.base}/sign-in", data=b"login=a", headers=boundless) as answer:
        assert answer.status == 400


async def test_the_audit_has_sign_ins_but_no_password(desk: Desk) -> None:
    user, browser = await desk.add_user(Role.ADMINISTRATOR), desk.browser()
    await browser.sign_in(user.login, "my secret typed wrongly")
    await browser.sign_in(user.login)
    rows = await desk.fetch("SELECT * FROM console.audit WHERE subject = $1 ORDER BY id", user.login)
    assert [row["action"] for row in rows] == ["added", "sign_in"]
    everything = str(await desk.fetch("SELECT * FROM console.audit"))
    assert "secret" not in everything
    assert PASSWORD not in everything
    assert "argon2" not in everything
