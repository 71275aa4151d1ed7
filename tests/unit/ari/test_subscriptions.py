"""Subscriptions: everybody hears what is theirs, in order, and nothing is kept for nobody."""

import asyncio
from typing import Any

import pytest

from ari_app.ari import AriClosed, AriReplaced
from ari_app.ari.events import (
    BridgeDestroyed,
    ChannelDestroyed,
    ChannelDtmfReceived,
    ChannelStateChange,
    Event,
    StasisStart,
)
from ari_app.ari.subscriptions import Router


def digit(channel: str, value: str) -> dict[str, Any]:
    return {"type": "ChannelDtmfReceived", "channel": {"id": channel}, "digit": value}


def destroyed(channel: str, cause: int = 16) -> dict[str, Any]:
    return {"type": "ChannelDestroyed", "channel": {"id": channel}, "cause": cause}


async def read(subscription: Any) -> list[Event]:
    async with asyncio.timeout(1):
        return [event async for event in subscription]


def digits(found: list[Event]) -> str:
    return "".join(event.digit for event in found if isinstance(event, ChannelDtmfReceived))


async def test_each_channel_hears_its_own_events_until_its_last() -> None:
    router = Router()
    one, two = router.subscribe("channel:1"), router.subscribe("channel:2")
    for raw in (digit("1", "5"), digit("2", "6"), digit("1", "7"), destroyed("1"), destroyed("2", 21)):
        router.publish(raw)
    assert digits(await read(one)) == "57"
    heard = await read(two)
    assert digits(heard) == "6"
    assert isinstance(heard[-1], ChannelDestroyed)
    assert heard[-1].cause == 21


async def test_a_destroyed_channel_is_forgotten_even_if_nobody_closes() -> None:
    router = Router()
    router.subscribe("channel:1")
    router.publish(destroyed("1"))
    assert len(router) == 0


async def test_closing_gives_everything_back() -> None:
    router = Router()
    with router.subscribe("channel:1", "bridge:1"), router.subscribe_all():
        assert len(router) == 3
    assert len(router) == 0
    router.publish(digit("1", "5"))


async def test_one_queue_for_several_handles_keeps_the_order_and_has_no_event_twice() -> None:
    router = Router()
    both = router.subscribe("channel:1")
    both.watch("channel:2")
    both.watch("bridge:b")
    entered = {"type": "ChannelEnteredBridge", "channel": {"id": "1"}, "bridge": {"id": "b"}}
    for raw in (digit("2", "1"), entered, digit("1", "2"), destroyed("1"), destroyed("2")):
        router.publish(raw)
    router.publish({"type": "BridgeDestroyed", "bridge": {"id": "b"}})
    found = await read(both)
    assert [event.type for event in found] == [
        "ChannelDtmfReceived",
        "ChannelEnteredBridge",
        "ChannelDtmfReceived",
        "ChannelDestroyed",
        "ChannelDestroyed",
        "BridgeDestroyed",
    ]


async def test_a_full_queue_drops_the_oldest_and_keeps_the_last_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    router = Router()
    subscription = router.subscribe("channel:1", limit=3)
    for value in "123456":
        router.publish(digit("1", value))
    router.publish(destroyed("1"))
    found = await read(subscription)
    assert digits(found) == "56"
    assert isinstance(found[-1], ChannelDestroyed)
    assert subscription.dropped == 4
    assert caplog.text.count("nobody reads the events of channel:1") == 1


async def test_an_event_that_nobody_wants_is_not_even_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    router = Router()
    parsed: list[Any] = []
    monkeypatch.setattr("ari_app.ari.subscriptions.parse", parsed.append)
    router.subscribe("channel:1", types=(ChannelStateChange,))
    router.subscribe_all(types=(StasisStart,))
    router.publish(digit("1", "5"))
    router.publish(digit("2", "5"))
    assert parsed == []


async def test_waiting_skips_other_events_and_takes_the_condition_into_account() -> None:
    router = Router()
    subscription = router.subscribe("channel:1")
    for value in "123":
        router.publish(digit("1", value))
    event = await subscription.wait_for(ChannelDtmfReceived, timeout=1, where=lambda e: e.digit == "2")
    assert event.digit == "2"
    assert (await subscription.wait_for(ChannelDtmfReceived, timeout=1)).digit == "3"


async def test_waiting_ends_when_what_is_waited_for_can_no_longer_come() -> None:
    router = Router()
    subscription = router.subscribe("channel:1")
    async with asyncio.timeout(1), asyncio.TaskGroup() as group:
        waiting = group.create_task(waits_in_vain(subscription))
        await asyncio.sleep(0)
        router.publish(destroyed("1"))
    assert waiting.done()


async def waits_in_vain(subscription: Any) -> None:
    with pytest.raises(AriClosed):
        await subscription.wait_for(BridgeDestroyed, timeout=5)


async def test_a_wait_that_times_out_or_is_cancelled_loses_no_event() -> None:
    router = Router()
    subscription = router.subscribe("channel:1")
    with pytest.raises(TimeoutError):
        await subscription.wait_for(ChannelDtmfReceived, timeout=0.01)
    waiting = asyncio.create_task(subscription.wait_for(ChannelDtmfReceived, timeout=5))
    await asyncio.sleep(0)
    router.publish(digit("1", "9"))
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert (await subscription.wait_for(ChannelDtmfReceived, timeout=1)).digit == "9"


async def test_a_second_task_may_not_wait_on_the_same_subscription() -> None:
    router = Router()
    subscription = router.subscribe("channel:1")
    first = asyncio.create_task(subscription.wait_for(ChannelDtmfReceived, timeout=5))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="two tasks"):
        await subscription.wait_for(ChannelDtmfReceived, timeout=1)
    router.publish(digit("1", "1"))
    assert (await first).digit == "1"


async def test_a_failure_reaches_those_who_wait_now_and_those_who_come_later() -> None:
    router = Router()
    now = router.subscribe("channel:1")
    router.publish(digit("1", "1"))
    router.fail(AriReplaced("gone"))
    assert isinstance(await anext(aiter(now)), ChannelDtmfReceived)
    with pytest.raises(AriReplaced):
        await anext(aiter(now))
    with pytest.raises(AriReplaced):
        await anext(aiter(router.subscribe_all()))


@pytest.mark.parametrize(
    "raw",
    [
        {"type": "ChannelDestroyed"},
        {"type": "ChannelDestroyed", "channel": "1"},
        {"type": "ChannelDestroyed", "channel": {}},
        {"type": "ChannelDestroyed", "channel": {"id": 1}},
        {"type": "PlaybackFinished", "playback": {"id": ["p"]}},
        {"type": "StasisStart", "channel": {"id": "1"}, "args": "no list"},
        {"type": 5},
        {"type": []},
        {"type": "Dial", "peer": []},
        {},
    ],
)
@pytest.mark.parametrize("somebody_listens", [True, False])
async def test_a_malformed_event_hurts_nobody(raw: dict[str, Any], *, somebody_listens: bool) -> None:
    router = Router()
    everything = router.subscribe_all()
    if not somebody_listens:
        everything.close()
    router.publish(raw)
    with router.subscribe("channel:1") as subscription:
        router.publish(digit("1", "1"))
        assert (await subscription.wait_for(ChannelDtmfReceived, timeout=1)).digit == "1"
