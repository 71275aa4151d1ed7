"""Giving back in a task that was cancelled."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def cleaning_up() -> Iterator[None]:
    """Around what a cancelled task still does before it lets the CancelledError go on.

    `asyncio.timeout` tells its own time limit from a cancellation by the count of the task's cancellations. Early
    3.11 releases (Debian 12 has 3.11.2) expect that count to be 0, so it is taken back; the task still ends cancelled.
    """
    task = asyncio.current_task()
    pending = task.cancelling() if task is not None else 0
    for _ in range(pending):
        assert task is not None
        task.uncancel()
    yield
