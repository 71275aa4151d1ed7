"""How fast callers and agents come together; the bounds are loose, for machines that do other things as well."""

from pathlib import Path

import pytest

from ari_app.runtime.stack import Stack, StackOptions
from tests.bench.queue_path import OPTIONS, measure, prepare


@pytest.fixture(scope="module")
def stack_options() -> StackOptions:
    return OPTIONS


async def test_the_next_phone_rings_soon_and_both_are_heard_soon_and_nothing_else_is(
    stack: Stack, tmp_path: Path
) -> None:
    await prepare(stack)
    rounds = await measure(stack, tmp_path, 3)
    assert min(round_.reject_to_invite_ms for round_ in rounds) < 300
    assert min(round_.answer_to_sound_ms for round_ in rounds) < 350
    for round_ in rounds:
        assert round_.disturbance_ms < 150, "music or a prompt goes on after joining"
