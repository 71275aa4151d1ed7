"""Behind a proxy with TLS: cookies that travel by TLS alone, and the browser's address rather than the proxy's."""

from collections.abc import AsyncIterator

import aiohttp
import pytest_asyncio
from aiohttp.test_utils import TestServer
from argon2 import PasswordHasher

from ari_app.console.app import create_app
from ari_app.console.config import ConsoleConfig
from ari_app.console.keys import PASSWORDS
from ari_app.console.passwords import Passwords
from ari_app.store.console.users import Role
from tests.integration.console.desk import PASSWORD, Desk

PUBLIC = "https://Console.example:443"
BY_PROXY = {"Accept": "text/html", "X-Forwarded-For": "6.6.6.6, 198.51.100.7"}


@pytest_asyncio.fixture(loop_scope="session")
async def base(desk: Desk) -> AsyncIterator[str]:
    config = ConsoleConfig.model_validate({"public_url": PUBLIC, "behind_proxy": True})
    app = create_app(config, desk.folders, desk.database)
    app[PASSWORDS] = Passwords(PasswordHasher(time_cost=1, memory_cost=1024))
    server = TestServer(app)
    await server.start_server()
    yield f"http://{server.host}:{server.port}"
    await server.close()


async def test_cookies_are_bound_to_host_and_tls_and_the_address_is_the_browsers(desk: Desk, base: str) -> None:
    user = await desk.add_user(Role.AGENT)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as browser:
        async with browser.get(f"{base}/sign-in", headers=BY_PROXY) as asked:
            (visitor,) = asked.headers.getall("Set-Cookie")
            token = (await asked.text()).split('name="token" value="')[1].split('"')[0]
            assert asked.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert visitor.startswith("__Host-aw_visitor=")
        fields = {"token": token, "login": user.login, "password": PASSWORD}
        headers = BY_PROXY | {"Cookie": visitor.partition(";")[0], "Origin": "https://console.example"}
        async with browser.post(f"{base}/sign-in", data=fields, headers=headers, allow_redirects=False) as signed:
            assert signed.status == 303
            cookies = signed.headers.getall("Set-Cookie")
        async with browser.post(f"{base}/sign-in", data=fields, headers=headers | {"Origin": base}) as foreign:
            assert foreign.status == 403
    session = next(cookie for cookie in cookies if "aw_session" in cookie)
    assert session.startswith("__Host-aw_session=")
    for word in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
        assert word in session
    assert "Domain" not in session
    (row,) = await desk.fetch("SELECT address FROM console.sessions WHERE user_id = $1", user.id)
    assert row["address"] == "198.51.100.7"
