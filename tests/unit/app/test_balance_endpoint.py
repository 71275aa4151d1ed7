"""A system of the administrator's says whether a call can be paid; what it says wrongly, or not at all."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from ari_app.config import BalanceConfig
from ari_app.flows.balance_endpoint import ANSWER_BYTES, BalanceEndpoint, Verdict

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Answer], Awaitable[str]]
QUESTION = {"call": None, "number": "4930123456", "to": "4915112345678"}


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    runners: list[web.AppRunner] = []

    async def start(answer: Answer) -> str:
        app = web.Application()
        app.router.add_post("/balance", answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}/balance"

    yield start
    for runner in runners:
        await runner.cleanup()


def config(url: str, **settings: Any) -> BalanceConfig:
    return BalanceConfig.model_validate({"url": url, "timeout_seconds": 0.3, **settings})


async def test_it_is_asked_with_the_token_and_believed(serve: Serve) -> None:
    asked: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append((request.headers["Authorization"], await request.json()))
        return web.json_response({"allowed": True, "seconds": 90})

    endpoint = BalanceEndpoint(config(await serve(answer), token=SecretStr("secret")))
    assert await endpoint.ask(QUESTION) == Verdict(True, timedelta(seconds=90))
    assert asked == [("Bearer secret", QUESTION)]


async def test_a_no_has_its_reason_and_no_time_is_a_no(serve: Serve) -> None:
    answers = [{"allowed": False, "reason": "overdue\x1b[31m"}, {"allowed": True, "seconds": 0}]

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(answers.pop(0))

    endpoint = BalanceEndpoint(config(await serve(answer)))
    assert await endpoint.ask(QUESTION) == Verdict(False, None, "overdue[31m")
    assert not (await endpoint.ask(QUESTION)).allowed


@pytest.mark.parametrize("when_away", ["allow", "refuse"])
@pytest.mark.parametrize(
    "body", ["", "[]", '{"allowed": "yes"}', '{"seconds": 5}', " " * (ANSWER_BYTES + 1), "500", "slow"]
)
async def test_what_cannot_be_understood_is_as_configured(serve: Serve, body: str, when_away: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        if body == "slow":
            await asyncio.sleep(5)
        return web.Response(text=body, status=500 if body == "500" else 200)

    verdict = await BalanceEndpoint(config(await serve(answer), when_away=when_away)).ask(QUESTION)
    assert (verdict.allowed, verdict.is_known) == (when_away == "allow", False)
    assert verdict.reason == "the system that knows the balance does not answer"


async def test_nobody_listens() -> None:
    verdict = await BalanceEndpoint(config("http://127.0.0.1:9/")).ask(QUESTION)
    assert (verdict.allowed, verdict.is_known) == (False, False)
