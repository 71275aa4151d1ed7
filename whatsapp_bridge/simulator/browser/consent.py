"""Whether businesses may call the person at the page: what they ask, and what the person says to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..config import NumberConfig
from ..permissions import Status
from ..world import World
from .messages import Permit, Profile, Told

_STATUSES: Final[dict[str, Status]] = {
    "accept": "temporary",
    "accept_permanent": "permanent",
    "decline": "no_permission",
}


class Consent:
    """One user's side of all permissions."""

    def __init__(self, world: World, user: str, tell: Callable[[Told], None]) -> None:
        self._world = world
        self._user = user
        self._tell = tell
        self._asked: dict[str, tuple[NumberConfig, str]] = {}
        "Requests that wait for an answer, by message id, with their words."

    def asked(self, number: NumberConfig, message_id: str, text: str) -> None:
        """A business asks."""
        self._asked[message_id] = number, text
        self.show()

    def take(self, said: Permit | Profile) -> None:
        """The person answers, or changes the mind in a business's profile."""
        plan = self._world.plan_of(self._user)
        if isinstance(said, Profile):
            number = self._world.numbers.get(said.number)
            if number is not None:
                self._world.messages.profile(number.config, plan, grants=said.grants)
        elif said.request in self._asked:
            config, _ = self._asked.pop(said.request)
            try:
                self._world.messages.answer(config, plan, said.request, _STATUSES[said.answer])
            except LookupError as error:
                self._tell({"type": "refused", "reason": f"The answer came too late: {error}"})
        self.show()

    def show(self) -> None:
        """Tells the page how things are."""
        now = self._world.clock.now()
        numbers = [number.config for number in self._world.numbers.values()]
        pairs = {number.phone_number_id: self._world.permissions.pair(number, self._user, now) for number in numbers}
        for message_id, (number, _) in tuple(self._asked.items()):
            if all(request.message_id != message_id for request in pairs[number.phone_number_id].requests):
                del self._asked[message_id]
        self._tell(
            {
                "type": "permissions",
                "numbers": {key: pair.status != "no_permission" for key, pair in pairs.items()},
                "requests": [
                    {"id": message_id, "number": number.display_number, "name": number.name, "text": text}
                    for message_id, (number, text) in self._asked.items()
                ],
            }
        )
