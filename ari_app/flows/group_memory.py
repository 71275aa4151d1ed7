"""What the queue remembers of groups, kept in PostgreSQL."""

from ari_app.queueing import Memory, State
from ari_app.store.group_memory import GroupMemoryStore


class GroupMemory:
    """Of one queue's state. All methods raise StoreError."""

    def __init__(self, state: State, store: GroupMemoryStore) -> None:
        self._state = state
        self._store = store
        self._unsaved: dict[str, Memory] = {}

    async def load(self) -> None:
        """Go on where a predecessor was."""
        self._state.remember(await self._store.load())

    async def save(self) -> None:
        """Write what is new. What cannot be written is kept for the next time."""
        self._unsaved |= self._state.memories()
        if self._unsaved:
            await self._store.save(list(self._unsaved.items()))
            self._unsaved.clear()
