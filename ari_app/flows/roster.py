"""Who the agents are and how they stand, from PostgreSQL and from their phones, put into the queue's state."""

import logging
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from uuid import UUID

from ari_app.ari import AriClient
from ari_app.calls.offer import Agent
from ari_app.flows.devices import Devices
from ari_app.queueing import Agent as QueueAgent
from ari_app.queueing import JoinEmpty, LeaveEmpty, Rules, State, Strategy
from ari_app.store.agents import AgentStore, Standing
from ari_app.store.database import StoreError
from ari_app.store.groups import GroupStore

logger = logging.getLogger(__name__)

#: A phone that failed is left alone for so long, s.
MARK_SECONDS = 15.0

#: Begins the names of groups of one agent, and of no configured group.
DIRECT = "\x1f"


class Roster:
    """Keeps the agents and groups of `state` as they are. `changed` is called when a phone changes its state."""

    def __init__(
        self, ari: AriClient, agents: AgentStore, groups: GroupStore, state: State, changed: Callable[[], None]
    ) -> None:
        self._agents = agents
        self._groups = groups
        self._state = state
        self._changed = changed
        self._standings: dict[UUID, Standing] = {}
        self._marked: dict[str, float] = {}
        "By endpoint: it is the phone that failed."
        self._not_before: dict[UUID, float] = {}
        self._stale: set[UUID] = set()
        self._all_stale = True
        self._rules_stale = True
        self.devices = Devices(ari, self._device_changed)

    def agent(self, agent: UUID) -> Agent:
        return self._standings[agent].agent

    def by_extension(self, extension: str) -> Agent | None:
        for standing in self._standings.values():
            if standing.extension == extension:
                return standing.agent
        return None

    def kept_out(self, groups: Iterable[str]) -> list[str]:
        """Names of agents of these groups to whom the telephone network may be attached."""
        wanted = set(groups)
        agents = self._state.agents.values()
        return [agent.name for agent in agents if not agent.voip_only and wanted & agent.groups.keys()]

    def mark(self, agent: UUID) -> float:
        """The agent's phone failed: it is left alone until the moment that is returned, or until it comes back."""
        endpoint = self._standings[agent].agent.endpoint
        logger.warning("%s failed and is left alone for %g s", endpoint, MARK_SECONDS)
        self._marked[endpoint] = time.time() + MARK_SECONDS
        return self._marked[endpoint]

    def postpone(self, agent: UUID, until: float) -> None:
        """Somebody else has the agent, or nobody can say: look again."""
        self._not_before[agent] = until
        self._stale.add(agent)

    def stale(self, agents: Iterable[UUID]) -> None:
        """These are to be read anew."""
        self._stale.update(agents)

    def all_stale(self) -> None:
        self._all_stale = self._rules_stale = True

    def told(self, kind: str, key: str) -> None:
        """PostgreSQL says that something changed."""
        if kind == "group":
            self._rules_stale = True
        else:
            try:
                self._stale.add(UUID(key))
            except ValueError:
                self._all_stale = True

    async def read(self, held: Collection[UUID]) -> None:
        """Read what is stale; agents in `held` are taken, whatever PostgreSQL says. Raises StoreError."""
        rules, everything, agents = self._rules_stale, self._all_stale, self._stale
        self._rules_stale, self._all_stale, self._stale = False, False, set()
        try:
            if rules:
                now = time.time()
                for group in await self._groups.all_rules():
                    self._state.put_group(group, now)
            if everything or agents:
                await self._read_agents(None if everything else agents, held)
        except StoreError:
            self._rules_stale |= rules
            self._all_stale |= everything
            self._stale |= agents
            raise

    async def _read_agents(self, agents: set[UUID] | None, held: Collection[UUID]) -> None:
        found = await self._agents.load(agents)
        standings = {standing.agent.id: standing for standing in found if standing.enabled}
        await self.devices.watch(standing.agent.endpoint for standing in standings.values())
        now = time.time()
        for agent in self._standings.keys() | standings.keys() if agents is None else agents:
            if (standing := standings.get(agent)) is None:
                self._standings.pop(agent, None)
                self._state.remove_agent(agent, now)
            else:
                self._standings[agent] = standing
                self._place(standing, now, taken=standing.call_id is not None or agent in held)

    def _place(self, standing: Standing, now: float, *, taken: bool) -> None:
        agent, groups = standing.agent, dict(standing.groups)
        if standing.extension:
            alone = direct_rules(standing.extension)
            self._state.put_group(alone, now)
            groups[alone.name] = 1
        self._state.put_agent(
            QueueAgent(
                agent.id,
                agent.name,
                groups,
                voip_only=agent.voip_only,
                logged_in=standing.logged_in,
                paused=standing.paused,
                reachable=not self.devices.is_away(agent.endpoint),
                busy=self.devices.is_in_use(agent.endpoint),
                taken=taken,
                wrap_up_until=max(standing.available_after, self._not_before.get(agent.id, 0.0)),
                marked_until=self._marked.get(agent.endpoint, 0.0),
                idle_since=standing.idle_since,
                answered=standing.answered,
            ),
            now,
        )

    def _device_changed(self, device: str) -> None:
        """A phone that comes back is no longer marked."""
        now = time.time()
        reachable, busy = not self.devices.is_away(device), self.devices.is_in_use(device)
        for standing in self._standings.values():
            agent = self._state.agents.get(standing.agent.id)
            if standing.agent.endpoint == device and agent is not None:
                if reachable and not agent.reachable:
                    self._marked.pop(device, None)
                marked_until = self._marked.get(device, 0.0)
                changed = replace(agent, reachable=reachable, busy=busy, marked_until=marked_until)
                self._state.put_agent(changed, now)
        self._changed()


def direct_rules(extension: str) -> Rules:
    """The group of one agent alone, for calls to that agent. The name cannot be one that is configured."""
    return Rules(
        DIRECT + extension,
        Strategy.LINEAR,
        max_wait_seconds=1.0,
        join_empty=JoinEmpty.AVAILABLE,
        leave_empty=LeaveEmpty.AVAILABLE,
    )
