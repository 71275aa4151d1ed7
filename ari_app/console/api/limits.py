"""How many requests are too many: a bucket for each token, and for each address that shows none. Pure."""

from collections import OrderedDict
from collections.abc import Hashable

#: So many are remembered; whoever is forgotten begins with a full bucket.
MOST = 10_000


class Buckets:
    """Each holds `size` requests and is filled again within a minute."""

    def __init__(self, size: int) -> None:
        self._size = float(size)
        self._levels: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, whose: Hashable, now: float) -> float:
        """Take one at `now`, s, of a clock that only goes on. 0, or after how many s there is one."""
        level = self._level(whose, now)
        if level < 1.0:
            return (1.0 - level) * 60.0 / self._size
        self._levels[whose] = (level - 1.0, now)
        self._levels.move_to_end(whose)
        while len(self._levels) > MOST:
            self._levels.popitem(last=False)
        return 0.0

    def wait(self, whose: Hashable, now: float) -> float:
        """The same without taking one."""
        return max(0.0, (1.0 - self._level(whose, now)) * 60.0 / self._size)

    def _level(self, whose: Hashable, now: float) -> float:
        level, at = self._levels.get(whose, (self._size, now))
        return min(self._size, level + (now - at) * self._size / 60.0)
