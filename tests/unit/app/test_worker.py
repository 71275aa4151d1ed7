"""Work goes on whatever happens to one round of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from ari_app.flows.worker import keep_working
from ari_app.store.database import StoreError

LIMIT = 2.0
"Longer than anything here takes, s."


class Round:
    """Each round does what is planned for it; without a plan, nothing."""

    def __init__(self, *plan: float | Exception | None) -> None:
        self._plan = list(plan)
        self.count = 0
        self.done = asyncio.Event()

    async def __call__(self) -> float | None:
        self.count += 1
        self.done.set()
        planned = self._plan.pop(0) if self._plan else None
        if isinstance(planned, Exception):
            raise planned
        return planned

    async def reaches(self, count: int) -> None:
        async with asyncio.timeout(LIMIT):
            while self.count < count:
                self.done.clear()
                await self.done.wait()


@asynccontextmanager
async def working(work: Round, every: float = 60) -> AsyncIterator[Callable[[], None]]:
    wake = asyncio.Event()
    task = asyncio.create_task(keep_working("letters", work, wake, every))
    try:
        yield wake.set
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()


async def test_it_is_done_at_once_when_called_for_and_by_itself() -> None:
    work = Round(None, None, 0.01)
    async with working(work) as wake:
        await work.reaches(1)
        wake()
        await work.reaches(2)
        wake()
        await work.reaches(4)  # the third round wanted to be done again soon
    slow = Round()
    async with working(slow, every=0.01):
        await slow.reaches(3)


async def test_a_round_that_fails_is_logged_and_not_the_last(caplog: pytest.LogCaptureFixture) -> None:
    work = Round(StoreError("nobody there"), ValueError("a bug"))
    async with working(work) as wake:
        for count in (1, 2, 3):
            await work.reaches(count)
            wake()
        await work.reaches(4)
    assert [record.getMessage() for record in caplog.records] == [
        "letters: waiting for PostgreSQL: nobody there",
        "letters: waiting, after a fault of ours",
    ]
